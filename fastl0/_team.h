/* A team of threads that share mini-batches: a leader, who owns the training, and helpers.
 *
 * The leader calls the helpers that are ready anew for every mini-batch and never waits for
 * one that is not: a helper that comes late, or whose processor somebody else keeps busy,
 * is left out. Within a mini-batch all members meet at barriers. Waiting spins for some
 * microseconds, then yields the processor.
 */
#ifndef FASTL0_TEAM_H
#define FASTL0_TEAM_H

#include "_platform.h"

#define TEAM_SEATS 7            /* helpers at most */
#define TEAM_SPINS 2000         /* turns of a waiting loop before it yields */
#define TEAM_GRACE_SPINS 400    /* ... that a helper has to get ready for the next call */
#define TEAM_LATE_NS 400000     /* a leader who has waited as long, and for half of the time that */
                                /* its own share took, goes on alone */
#define TEAM_IDLE_NS 1000000    /* a helper who has waited as long goes home */

/* A helper is AWAY, READY to be called, RESERVED for a team that forms, or CALLED. */
enum { TEAM_AWAY, TEAM_READY, TEAM_RESERVED, TEAM_CALLED };

typedef struct {
    int64_t state;
    int64_t number;             /* in the current team; the leader is 0 */
    char apart[48];             /* seats lie in cache lines of their own */
} team_seat;

typedef struct {
    int64_t closed;             /* helpers shall go home */
    int64_t wanted;             /* members at most, the leader included */
    int64_t size;               /* members of the current team */
    int64_t late;               /* a helper came late to a barrier: the leader is alone now */
    int64_t calling;            /* the leader is at work and will call again */
    int64_t begun;              /* when the leader began its present share; ns */
    char apart_1[16];
    int64_t n_arrived;          /* members at the barrier */
    char apart_2[56];
    int64_t generation;         /* barriers passed */
    char apart_3[56];
    team_seat seats[TEAM_SEATS];
} team_state;

#define team_get(place) __atomic_load_n(place, __ATOMIC_ACQUIRE)
#define team_set(place, value) __atomic_store_n(place, value, __ATOMIC_RELEASE)

FASTL0_STATIC int team_swap(int64_t *place, int64_t before, int64_t after) {
    return __atomic_compare_exchange_n(place, &before, after, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* One turn of a waiting loop. */
FASTL0_STATIC void team_pause(int64_t turn) {
    if (turn >= TEAM_SPINS) {
        fastl0_yield();
    } else {
        fastl0_spin();
    }
}

/* Helper: wait to be called; return the number in the team, or 0 to go home. */
FASTL0_STATIC int64_t team_enlist(team_state *team, int64_t seat_number) {
    team_seat *seat = &team->seats[seat_number - 1];
    int64_t since = 0;
    team_set(&seat->state, TEAM_READY);
    for (int64_t turn = 0; team_get(&seat->state) != TEAM_CALLED; turn++) {
        int leave = team_get(&team->closed) != 0;
        if (turn == TEAM_SPINS) {
            since = fastl0_now();
        } else if (turn > TEAM_SPINS) {
            int is_wanted = team_get(&team->calling) && seat_number < team_get(&team->wanted);
            leave |= !is_wanted && fastl0_now() - since > TEAM_IDLE_NS;
        }
        if (leave && team_swap(&seat->state, TEAM_READY, TEAM_AWAY)) {
            return 0;
        }
        team_pause(turn);
    }
    return seat->number;
}

/* Leader: form the team of the next mini-batch; return its size. */
FASTL0_STATIC int64_t team_call(team_state *team) {
    int64_t size = 1;
    if (team->late) {
        team_set(&team->calling, 0);
    }
    for (int64_t k = 0; k < TEAM_SEATS && size < team->wanted && !team->late; k++) {
        team_seat *seat = &team->seats[k];
        for (int64_t turn = 0; turn < TEAM_GRACE_SPINS; turn++) {
            if (team_get(&seat->state) != TEAM_CALLED) {
                break;
            }
            team_pause(0);
        }
        if (team_swap(&seat->state, TEAM_READY, TEAM_RESERVED)) {
            seat->number = size++;
        }
    }
    team->size = size;
    team->begun = size > 1 ? fastl0_now() : 0;
    for (int64_t k = 0; k < TEAM_SEATS; k++) {
        if (team_get(&team->seats[k].state) == TEAM_RESERVED) {
            team_set(&team->seats[k].state, TEAM_CALLED);
        }
    }
    return size;
}

/* Leader: call nobody for the time being. */
FASTL0_STATIC void team_rest(team_state *team) {
    team_set(&team->calling, 0);
}

/* Leader, who waits for a helper since `since`: note if that is too long. */
FASTL0_STATIC void team_lose_patience(team_state *team, int64_t since) {
    int64_t own = since - team->begun;
    int64_t limit = own / 2 > TEAM_LATE_NS ? own / 2 : TEAM_LATE_NS;
    if (fastl0_now() - since > limit) {
        team->late = 1;
    }
}

/* Every member, by number: wait until all members of the current team are here. */
FASTL0_STATIC void team_meet(team_state *team, int64_t number, int64_t size) {
    if (size == 1) {
        return;
    }
    int64_t generation = team_get(&team->generation);
    if (__atomic_add_fetch(&team->n_arrived, 1, __ATOMIC_ACQ_REL) == size) {
        team_set(&team->n_arrived, 0);
        team_set(&team->generation, generation + 1);
    } else {
        int64_t since = 0;
        for (int64_t turn = 0; team_get(&team->generation) == generation; turn++) {
            if (number == 0 && turn == TEAM_SPINS) {
                since = fastl0_now();
            } else if (number == 0 && turn > TEAM_SPINS && !team->late) {
                team_lose_patience(team, since);
            }
            team_pause(turn);
        }
    }
    if (number == 0) {
        team->begun = fastl0_now();
    }
}

#endif
