"""Names of the attributes of a fitted estimator. Imports nothing of fastl0."""

#: What tells of the training.
TRAINING_ATTRIBUTES = frozenset(
    (
        "n_iter_",
        "loss_",
        "best_loss_",
        "loss_curve_",
        "validation_scores_",
        "validation_loss_curve_",
        "best_validation_score_",
        "t_",
        "history_",
    )
)

#: All there are, of one kind of targets or another, but for what tells of X.
FITTED_ATTRIBUTES = TRAINING_ATTRIBUTES | frozenset(
    (
        "coefs_",
        "intercepts_",
        "support_",
        "n_units_",
        "n_parameters_",
        "n_layers_",
        "out_activation_",
        "classes_",
        "n_outputs_",
        "center_",
        "scale_",
        "_multilabel",
        "_sparse_labels",
        "_one_column",
    )
)

#: No part of the fitted model: training state and, with all they refer to, callbacks.
NOT_IN_MODEL = frozenset(
    (
        "_warm_state",
        "_stream",
        "_skl_callbacks",
        "_skl_callbacks_to_teardown",
        "_callback_fit_ctx",
        "_parent_callback_ctx",
    )
)
