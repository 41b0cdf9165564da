/* The kernels in register tiles and vectors, once for each instruction set: `_variants.h` includes
 * this file anew with other macros.
 *
 *   ISA                      its name
 *   TARGET                   attributes of its functions
 *   LANES, ROWS, VECTORS     floats in a vector, rows of a tile, vectors in a row of it
 *   MULTIPLY_ADD(a, b, c)    a * b + c of vectors, rounded once where the processor can
 *   SPREAD(x)                a vector of that number
 *   SQRT(v)                  square roots
 *
 * Every instruction set sums up in the same order, so that all that can multiply and add in one
 * step get the same bits.
 */
#define JOIN_(name, isa) name##_##isa
#define JOIN(name, isa) JOIN_(name, isa)
#define NAME(name) JOIN(fastl0_##name, ISA)
#define PART FASTL0_STATIC __attribute__((always_inline)) TARGET

/* Anywhere in memory, of floats. */
typedef float NAME(vector) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t NAME(ints) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define VECTOR NAME(vector)
#define INTS NAME(ints)
#define LOAD(place) (*(const VECTOR *)(place))
#define STORE(place, value) (*(VECTOR *)(place) = (value))

/* Called by the kernels that Numba compiles. */
TARGET void NAME(matmul)(
    int64_t a_, int64_t a_row, int64_t a_step, int64_t n_rows, int64_t b_, int64_t b_row,
    int64_t index_, int64_t n_terms, int64_t out_, int64_t out_row, int64_t n_columns
);
TARGET float NAME(dot)(int64_t a_, int64_t b_, int64_t n);
TARGET float NAME(adam_rank_one)(
    int64_t theta_, int64_t first_, int64_t second_, int64_t vector_, int64_t n, float factor,
    float rate, float beta_1, float beta_2, float epsilon, float decay
);

/* Those kernels; see `_numba/ahead_of_time.py`. */
int32_t NAME(train_batches)(int64_t *result, void **unused, int64_t words, int64_t reals);
int32_t NAME(fill_rows)(int64_t *result, void **unused, int64_t words, int64_t reals);

/* --- matrix products ----------------------------------------------------------------- */

/* One tile: an outer product after another is added to sums in registers, which are stored once.
 * Rows of b may be picked by an index. Rows that are not there repeat the last one. */
PART void NAME(tile)(
    int n_vectors, const float *a, int64_t a_row, int64_t a_step, int64_t n_rows, const float *b,
    int64_t b_row, const int32_t *index, int64_t n_terms, float *out, int64_t out_row
) {
    VECTOR sums[ROWS][VECTORS];
    const float *left[ROWS];
    for (int r = 0; r < ROWS; r++) {
        left[r] = a + (r < n_rows ? r : n_rows - 1) * a_row;
        for (int v = 0; v < n_vectors; v++) {
            sums[r][v] = SPREAD(0.0f);
        }
    }
    for (int64_t k = 0; k < n_terms; k++) {
        const float *right = b + (index ? (int64_t)index[k] : k) * b_row;
        VECTOR factors[VECTORS];
        for (int v = 0; v < n_vectors; v++) {
            factors[v] = LOAD(right + v * LANES);
        }
        for (int r = 0; r < ROWS; r++) {
            VECTOR number = SPREAD(left[r][k * a_step]);
            for (int v = 0; v < n_vectors; v++) {
                sums[r][v] = MULTIPLY_ADD(number, factors[v], sums[r][v]);
            }
        }
    }
    /* In ascending order: what hangs over into the next row is then overwritten by it. */
    for (int r = 0; r < ROWS; r++) {
        for (int v = 0; v < n_vectors; v++) {
            STORE(out + (r < n_rows ? r : n_rows - 1) * out_row + v * LANES, sums[r][v]);
        }
    }
}

/* A column of tiles. */
PART void NAME(tiles)(
    int n_vectors, const float *a, int64_t a_row, int64_t a_step, int64_t n_rows, const float *b,
    int64_t b_row, const int32_t *index, int64_t n_terms, float *out, int64_t out_row
) {
    for (int64_t r = 0; r < n_rows; r += ROWS) {
        int64_t n = n_rows - r < ROWS ? n_rows - r : ROWS;
        NAME(tile)(n_vectors, a + r * a_row, a_row, a_step, n, b, b_row, index, n_terms,
                   out + r * out_row, out_row);
    }
}

/* See `_numba.matmul.matmul_`; arguments named as there, addresses as numbers. */
TARGET void NAME(matmul)(
    int64_t a_, int64_t a_row, int64_t a_step, int64_t n_rows, int64_t b_, int64_t b_row,
    int64_t index_, int64_t n_terms, int64_t out_, int64_t out_row, int64_t n_columns
) {
    const float *a = (const float *)(intptr_t)a_, *b = (const float *)(intptr_t)b_;
    const int32_t *index = (const int32_t *)(intptr_t)index_;
    float *out = (float *)(intptr_t)out_;
    const int64_t width = LANES * VECTORS;
    /* From the last columns to the first: their overhang into the next row is overwritten. */
    for (int64_t low = (n_columns - 1) / width * width; low >= 0 && n_columns > 0; low -= width) {
        int64_t n_vectors = (n_columns - low + LANES - 1) / LANES;
        const float *right = b + low;
        float *to = out + low;
#define TILES(n, index) \
    NAME(tiles)(n, a, a_row, a_step, n_rows, right, b_row, index, n_terms, to, out_row)
        if (index == 0) {
            if (n_vectors == 1) {
                TILES(1, 0);
            } else if (n_vectors == 2 || VECTORS == 2) {
                TILES(2, 0);
            } else {
                TILES(VECTORS, 0);
            }
        } else if (n_vectors == 1) {
            TILES(1, index);
        } else if (n_vectors == 2 || VECTORS == 2) {
            TILES(2, index);
        } else {
            TILES(VECTORS, index);
        }
#undef TILES
    }
}

/* --- rows ------------------------------------------------------------------------------ */

/* Sums in sixteen lanes, whatever the width of a vector. */
#define N_SUMS 16
#define N_PARTS (N_SUMS / LANES)

PART float NAME(add_up)(const VECTOR *sums) {
    float numbers[N_SUMS];
    for (int p = 0; p < N_PARTS; p++) {
        STORE(numbers + p * LANES, sums[p]);
    }
    for (int n = N_SUMS / 2; n > 0; n /= 2) {
        for (int k = 0; k < n; k++) {
            numbers[k] += numbers[k + n];
        }
    }
    return numbers[0];
}

PART void NAME(add_products)(VECTOR *sums, const float *a, const float *b) {
    for (int p = 0; p < N_PARTS; p++) {
        sums[p] = MULTIPLY_ADD(LOAD(a + p * LANES), LOAD(b + p * LANES), sums[p]);
    }
}

/* Sum of the products of two rows of n floats. Sum k takes the entries k, k + 16, ... */
TARGET float NAME(dot)(int64_t a_, int64_t b_, int64_t n) {
    const float *a = (const float *)(intptr_t)a_, *b = (const float *)(intptr_t)b_;
    VECTOR sums[N_PARTS];
    for (int p = 0; p < N_PARTS; p++) {
        sums[p] = SPREAD(0.0f);
    }
    int64_t k = 0;
    for (; k + N_SUMS <= n; k += N_SUMS) {
        NAME(add_products)(sums, a + k, b + k);
    }
    if (k < n) {
        float rest_a[N_SUMS] = {0}, rest_b[N_SUMS] = {0};
        for (int64_t j = k; j < n; j++) {
            rest_a[j - k] = a[j];
            rest_b[j - k] = b[j];
        }
        NAME(add_products)(sums, rest_a, rest_b);
    }
    return NAME(add_up)(sums);
}

/* What Adam makes of a vector of parameters. */
typedef struct {
    VECTOR theta, first, second;
} NAME(moved);

typedef struct {
    VECTOR factor, rate, beta_1, beta_2, keep_1, keep_2, epsilon, decay;
} NAME(numbers);

PART NAME(moved) NAME(adam)(
    const NAME(numbers) *c, VECTOR theta, VECTOR first, VECTOR second, VECTOR right
) {
    VECTOR gradient = MULTIPLY_ADD(c->decay, theta, c->factor * right);
    NAME(moved) new;
    new.first = MULTIPLY_ADD(c->beta_1, first, c->keep_1 * gradient);
    new.second = MULTIPLY_ADD(c->beta_2, second, c->keep_2 * gradient * gradient);
    VECTOR move = c->rate * new.first / (SQRT(new.second) + c->epsilon);
    /* A parameter whose moment has overflowed can never move again: that must be seen, and all
     * bits set are NaN. */
    INTS is_lost = ~(INTS)(new.second < SPREAD(INFINITY));
    new.theta = theta - (VECTOR)((INTS)move | is_lost);
    return new;
}

/* See `_numba.single_row.adam_rank_one_`.
 *
 * Sixteen entries at a time; the last sixteen end with the row, and overlap those before. They are
 * read first and written last, so that no parameter moves twice. */
TARGET float NAME(adam_rank_one)(
    int64_t theta_, int64_t first_, int64_t second_, int64_t vector_, int64_t n, float factor,
    float rate, float beta_1, float beta_2, float epsilon, float decay
) {
    float *theta = (float *)(intptr_t)theta_, *first = (float *)(intptr_t)first_;
    float *second = (float *)(intptr_t)second_;
    const float *vector = (const float *)(intptr_t)vector_;
    const NAME(numbers) c = {
        SPREAD(factor), SPREAD(rate), SPREAD(beta_1), SPREAD(beta_2),
        SPREAD(1.0f - beta_1), SPREAD(1.0f - beta_2), SPREAD(epsilon), SPREAD(decay),
    };
    const int64_t start_of_last = n - N_SUMS, n_before = (n - 1) / N_SUMS * N_SUMS;
    NAME(moved) last[N_PARTS];
    VECTOR sums[N_PARTS];
    for (int p = 0; p < N_PARTS; p++) {
        const int64_t k = start_of_last + p * LANES;
        VECTOR right = LOAD(vector + k), old = LOAD(theta + k);
        last[p] = NAME(adam)(&c, old, LOAD(first + k), LOAD(second + k), right);
        float products[LANES];
        STORE(products, old * right);
        for (int lane = 0; lane < LANES; lane++) {
            if (k + lane < n_before) { /* counted with the sixteen before */
                products[lane] = 0.0f;
            }
        }
        sums[p] = LOAD(products);
    }
    for (int64_t start = 0; start < n_before; start += N_SUMS) {
        for (int p = 0; p < N_PARTS; p++) {
            const int64_t k = start + p * LANES;
            VECTOR right = LOAD(vector + k), old = LOAD(theta + k);
            NAME(moved) new = NAME(adam)(&c, old, LOAD(first + k), LOAD(second + k), right);
            STORE(theta + k, new.theta);
            STORE(first + k, new.first);
            STORE(second + k, new.second);
            sums[p] = MULTIPLY_ADD(old, right, sums[p]);
        }
    }
    for (int p = 0; p < N_PARTS; p++) {
        const int64_t k = start_of_last + p * LANES;
        STORE(theta + k, last[p].theta);
        STORE(first + k, last[p].first);
        STORE(second + k, last[p].second);
    }
    return NAME(add_up)(sums);
}

#undef VECTOR
#undef INTS
#undef LOAD
#undef STORE
#undef N_SUMS
#undef N_PARTS
#undef PART
#undef NAME
#undef JOIN
#undef JOIN_
