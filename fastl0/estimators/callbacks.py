"""scikit-learn's callback protocol; below scikit-learn 1.9 a stand-in of it."""

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:
    from fastl0.estimators.callbacks_compat import CallbackSupportMixin, with_callbacks

__all__ = ["CallbackSupportMixin", "with_callbacks"]
