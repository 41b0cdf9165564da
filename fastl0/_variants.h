/* The kernels of every instruction set that this architecture is built for, and which of them the
 * processor at hand can run. Names and sizes of tiles as in `kernel_api/tiles.py`. */
#ifndef FASTL0_VARIANTS_H
#define FASTL0_VARIANTS_H

#include <math.h>

#include "_platform.h"

#if defined(__x86_64__)

#define ISA baseline
#define TARGET
#define LANES 4
#define ROWS 6
#define VECTORS 2
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define SPREAD(x) _mm_set1_ps(x)
#define SQRT(v) _mm_sqrt_ps(v)
#include "_vectors.h"
#undef ISA
#undef TARGET
#undef LANES
#undef ROWS
#undef VECTORS
#undef MULTIPLY_ADD
#undef SPREAD
#undef SQRT

#define ISA avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define ROWS 6
#define VECTORS 2
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define SPREAD(x) _mm256_set1_ps(x)
#define SQRT(v) _mm256_sqrt_ps(v)
#include "_vectors.h"
#undef ISA
#undef TARGET
#undef LANES
#undef ROWS
#undef VECTORS
#undef MULTIPLY_ADD
#undef SPREAD
#undef SQRT

#define ISA avx512
#define TARGET __attribute__((target("avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")))
#define LANES 16
#define ROWS 8
#define VECTORS 3
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define SPREAD(x) _mm512_set1_ps(x)
#define SQRT(v) _mm512_sqrt_ps(v)
#include "_vectors.h"

#define FASTL0_VARIANTS VARIANT(baseline, 4, 6, 2), VARIANT(avx2, 8, 6, 2), VARIANT(avx512, 16, 8, 3)

/* Whether this processor can run variant number `k`. */
FASTL0_STATIC int fastl0_can_run(int k) {
    __builtin_cpu_init();
    int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512bw");
    return k == 0 || (k == 1 && has_avx2) || (k == 2 && has_avx512);
}

#elif defined(__aarch64__)

#define ISA neon
#define TARGET
#define LANES 4
#define ROWS 8
#define VECTORS 3
#define MULTIPLY_ADD(a, b, c) \
    ((VECTOR)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#define SPREAD(x) ((VECTOR)vdupq_n_f32(x))
#define SQRT(v) ((VECTOR)vsqrtq_f32((float32x4_t)(v)))
#include "_vectors.h"

#define FASTL0_VARIANTS VARIANT(neon, 4, 8, 3)

FASTL0_STATIC int fastl0_can_run(int k) { return k == 0; }

#else

typedef float fastl0_four __attribute__((vector_size(16), aligned(4), may_alias));

FASTL0_STATIC fastl0_four fastl0_sqrt(fastl0_four v) {
    return (fastl0_four){sqrtf(v[0]), sqrtf(v[1]), sqrtf(v[2]), sqrtf(v[3])};
}

#define ISA generic
#define TARGET
#define LANES 4
#define ROWS 6
#define VECTORS 2
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define SPREAD(x) ((fastl0_four){x, x, x, x})
#define SQRT(v) fastl0_sqrt(v)
#include "_vectors.h"

#define FASTL0_VARIANTS VARIANT(generic, 4, 6, 2)

FASTL0_STATIC int fastl0_can_run(int k) { return k == 0; }

#endif

#undef ISA
#undef TARGET
#undef LANES
#undef ROWS
#undef VECTORS
#undef MULTIPLY_ADD
#undef SPREAD
#undef SQRT

/* Numba's convention of calls: the result goes to where `result` points, and what is returned says
 * whether an exception was raised, which these kernels never do. */
typedef int32_t (*fastl0_kernel)(int64_t *result, void **unused, int64_t words, int64_t reals);

typedef struct {
    const char *name;
    int lanes, rows, vectors;
    void (*matmul)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                   int64_t, int64_t);
    float (*dot)(int64_t, int64_t, int64_t);
    float (*adam_rank_one)(int64_t, int64_t, int64_t, int64_t, int64_t, float, float, float, float,
                           float, float);
    fastl0_kernel train_batches, fill_rows;
} fastl0_variant;

#define VARIANT(isa, lanes, rows, vectors)                                          \
    {#isa, lanes, rows, vectors, fastl0_matmul_##isa, fastl0_dot_##isa,             \
     fastl0_adam_rank_one_##isa, fastl0_train_batches_##isa, fastl0_fill_rows_##isa}

/* From the plainest to the widest. */
static const fastl0_variant fastl0_variants[] = {FASTL0_VARIANTS};
enum { FASTL0_N_VARIANTS = sizeof(fastl0_variants) / sizeof(fastl0_variants[0]) };

#undef VARIANT

#endif
