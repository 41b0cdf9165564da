/* All headers of the C core, for `make lint-c`. */
#include "_team.h"
#include "_variants.h"

int fastl0_all_headers(void);

int fastl0_all_headers(void) {
    return (int)FASTL0_N_VARIANTS + fastl0_can_run(0) + (int)sizeof(team_state)
        + (fastl0_variants[0].name != 0);
}
