/* The meeting points of `_team.h` under ThreadSanitizer.
 *
 *     cc -O2 -g -fsanitize=thread -I fastl0 benches/reliability/team.c -o team -lpthread
 *     ./team MINI_BATCHES
 *
 * A leader calls three helpers for every mini-batch, as `train_loop.train_batches` does: each member
 * writes its own plain numbers, all meet, each reads what the others wrote, all meet again, and
 * the leader alone changes what all read next. The team breaks up and forms anew every so often.
 * ThreadSanitizer reports an access that the meeting points leave unordered; sums that are wrong
 * end the program with 1. With -DPLANTED one of the two meetings is left out, which it must report.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "_team.h"

#define N_HELPERS 3
#define N_NUMBERS 16            /* of each member */
#define N_EACH 10               /* mini-batches between two recruitings */

static team_state team;
static int64_t shared[N_HELPERS + 1][N_NUMBERS];
static int64_t round_number;    /* written by the leader between mini-batches */
static int64_t wrong[N_HELPERS + 1];

static void work(int64_t number, int64_t size) {
    for (int k = 0; k < N_NUMBERS; k++) {
        shared[number][k] = round_number + number * k;
    }
#ifndef PLANTED
    team_meet(&team, number, size);
#endif
    for (int64_t other = 0; other < size; other++) {
        for (int k = 0; k < N_NUMBERS; k++) {
            wrong[number] += shared[other][k] != round_number + other * k;
        }
    }
    team_meet(&team, number, size);
}

static void *help(void *seat) {
    for (;;) {
        int64_t number = team_enlist(&team, (int64_t)seat);
        if (number == 0) {
            return NULL;
        }
        work(number, team.size);
    }
}

int main(int argc, char **argv) {
    int64_t n_batches = argc > 1 ? atoll(argv[1]) : 100000;
    int64_t n_shared = 0, n_wrong = 0, n_late = 0;
    for (int64_t done = 0; done < n_batches; done += N_EACH) {
        pthread_t helpers[N_HELPERS];
        team_set(&team.closed, 0);
        team_set(&team.wanted, 1 + N_HELPERS);
        team.late = 0;
        team_set(&team.calling, 1);
        for (int64_t seat = 0; seat < N_HELPERS; seat++) {
            pthread_create(&helpers[seat], NULL, help, (void *)(seat + 1));
        }
        for (int k = 0; k < N_EACH; k++) {
            int64_t size = team_call(&team);
            work(0, size);
            n_shared += size > 1;
            n_late += team.late != 0;
            round_number++;
        }
        team_rest(&team);
        team_set(&team.closed, 1);
        for (int seat = 0; seat < N_HELPERS; seat++) {
            pthread_join(helpers[seat], NULL);
        }
    }
    for (int number = 0; number <= N_HELPERS; number++) {
        n_wrong += wrong[number];
    }
    printf("mini-batches %lld, shared %lld, after a late helper %lld, wrong numbers %lld\n",
           (long long)n_batches, (long long)n_shared, (long long)n_late, (long long)n_wrong);
    return n_wrong != 0;
}
