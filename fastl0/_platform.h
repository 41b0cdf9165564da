/* What differs between systems, and between processors beside the vectors of `_variants.h`. */
#ifndef FASTL0_PLATFORM_H
#define FASTL0_PLATFORM_H

#include <stdint.h>

#if defined(_WIN32)
  #ifndef WIN32_LEAN_AND_MEAN
    #define WIN32_LEAN_AND_MEAN
  #endif
  #include <windows.h>
#else
  #include <sched.h>
  #include <time.h>
#endif

#if defined(__SSE2__)
  #include <immintrin.h>
#elif defined(__aarch64__)
  #include <arm_neon.h>
#endif

/* Some translation units use a part of the functions only. */
#define FASTL0_STATIC static inline __attribute__((unused))

/* Let others have the processor. */
FASTL0_STATIC void fastl0_yield(void) {
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

/* Nanoseconds of a clock that only goes forward. */
FASTL0_STATIC int64_t fastl0_now(void) {
#if defined(_WIN32)
    LARGE_INTEGER count, per_second;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&per_second);
    return (int64_t)((double)count.QuadPart * 1e9 / (double)per_second.QuadPart);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

/* A hint that a loop waits for another processor. */
FASTL0_STATIC void fastl0_spin(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#define fastl0_prefetch(address) __builtin_prefetch(address)

/* Flush subnormal numbers to zero from now on; returns what `end_flush_to_zero` sets back. */
FASTL0_STATIC int64_t begin_flush_to_zero(void) {
#if defined(__SSE2__)
    /* bit 15: flush results to zero, bit 6: read subnormal operands as zero */
    unsigned int before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);
    return (int64_t)before;
#elif defined(__aarch64__)
    /* FPCR bit 24: flush subnormal operands and results to zero */
    uint64_t before;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(before));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(before | ((uint64_t)1 << 24)));
    return (int64_t)before;
#else
    return 0;
#endif
}

FASTL0_STATIC void end_flush_to_zero(int64_t before) {
#if defined(__SSE2__)
    _mm_setcsr((unsigned int)before);
#elif defined(__aarch64__)
    __asm__ __volatile__("msr fpcr, %0" : : "r"((uint64_t)before));
#else
    (void)before;
#endif
}

#endif
