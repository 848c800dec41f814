/* SPDX-License-Identifier: Apache-2.0
 *
 * The store says what is revoked after the next start, the board what is refused now. A revocation has its room on the
 * board before it goes into the store, and is on the board before it is acknowledged, so that neither has one that the
 * other lacks, but for the moment in between.
 */
#include "server/revocations.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/board_writer.h"
#include "server/log.h"
#include "server/rotation.h"

/* Expired ones are taken out of the store so many at a time, whenever one is added: faster than they come. */
#define REVOCATIONS_FORGET_STEP 16u
#define REVOCATIONS_MAX_ERROR   256u

struct sg_revocations {
    struct sg_store *store;
    struct sg_store *own_store; /* in memory; NULL: another's is used */
    struct sg_board_writer *board;
    struct sg_board_writer *own_board; /* likewise */
    int64_t (*read_wall_s)(void);
    pthread_mutex_t changes; /* held from the time of a revocation until it is on the board */
    bool cannot_forget;      /* it was said; guarded by changes */
};

/* ---- As the board has it ---- */

/* What the board says of a revocation: until when it matters, or from which second on tokens are good again. */
static int64_t revocations_value(const struct sg_store_revocation *revocation)
{
    switch (revocation->kind) {
    case SG_STORE_REVOKED_TOKEN:
        return revocation->until;
    case SG_STORE_REVOKED_SUBJECT:
    case SG_STORE_REVOKED_KEYSET:
        return revocation->at < SG_TIME_NEVER ? revocation->at + 1 : SG_TIME_NEVER;
    case SG_STORE_REVOKED_KID:
        break;
    }
    return SG_TIME_NEVER;
}

_Static_assert((int)SG_STORE_REVOKED_TOKEN == (int)SG_BOARD_TOKEN &&
                   (int)SG_STORE_REVOKED_SUBJECT == (int)SG_BOARD_SUBJECT &&
                   (int)SG_STORE_REVOKED_KEYSET == (int)SG_BOARD_KEYSET &&
                   (int)SG_STORE_REVOKED_KID == (int)SG_BOARD_KID,
               "store and board number the kinds alike");

/* The store keeps a keyset's name as the scope. */
static struct sg_board_revocation revocations_entry(const struct sg_store_revocation *record)
{
    bool is_keyset = record->kind == SG_STORE_REVOKED_KEYSET;
    const char *scope = is_keyset ? "" : record->scope;
    const char *name = is_keyset ? record->scope : record->name;
    return (struct sg_board_revocation){.kind = (enum sg_board_kind)record->kind,
                                        .scope = scope,
                                        .scope_len = strlen(scope),
                                        .name = name,
                                        .name_len = strlen(name),
                                        .value = revocations_value(record)};
}

static signet_status revocations_put(struct sg_revocations *revocations,
                                     const struct sg_store_revocation *record, int64_t now,
                                     char *error, size_t error_cap)
{
    const struct sg_board_revocation entry = revocations_entry(record);
    return sg_board_writer_revoke(revocations->board, &entry, now, error, error_cap);
}

/* What the board says under this name; 0: nothing. */
static int64_t revocations_find(const struct sg_revocations *revocations, enum sg_board_kind kind,
                                const char *scope, const char *name)
{
    int64_t value = 0;
    bool is_there =
        name != NULL && sg_board_writer_find(revocations->board, kind, scope, name, &value);
    return is_there ? value : 0;
}

/* ---- Reading what there is ---- */

struct revocations_reading {
    struct sg_revocations *revocations;
    signet_status status;
    char *error;
    size_t error_cap;
};

static void revocations_read(void *context, const struct sg_store_revocation *record)
{
    struct revocations_reading *reading = context;
    if (reading->status == SIGNET_OK) {
        reading->status = revocations_put(reading->revocations, record, SG_TIME_EVER,
                                          reading->error, reading->error_cap);
    }
}

static signet_status revocations_load(struct sg_revocations *revocations, char *error,
                                      size_t error_cap)
{
    struct revocations_reading reading = {
        .revocations = revocations, .status = SIGNET_OK, .error = error, .error_cap = error_cap};
    signet_status status = SIGNET_OK;
    if (revocations->board == NULL) {
        status = sg_board_writer_open(NULL, 0, &revocations->own_board, error, error_cap);
        revocations->board = revocations->own_board;
    }
    if (status == SIGNET_OK && revocations->store == NULL) {
        status = sg_store_open_in_memory(&revocations->own_store, error, error_cap);
        revocations->store = revocations->own_store;
    }
    if (status == SIGNET_OK) {
        status = sg_store_read_revocations(revocations->store, revocations_read, &reading, error,
                                           error_cap);
    }
    return status == SIGNET_OK ? reading.status : status;
}

/* ---- Changing and asking ---- */

/* What is kept too long does no harm, and is tried again with the next; who looks after the daemon should know. */
static void revocations_forget(struct sg_revocations *revocations, int64_t now)
{
    char error[REVOCATIONS_MAX_ERROR] = "";
    size_t num_forgotten = 0;
    bool has_failed = sg_store_forget_revocations(revocations->store, now - SG_BOARD_CLOCK_MARGIN_S,
                                                  REVOCATIONS_FORGET_STEP, &num_forgotten, error,
                                                  sizeof(error)) != SIGNET_OK;
    if (has_failed && !revocations->cannot_forget) {
        sg_log(SG_LOG_WARNING, "revocations that have ended cannot be removed: %s", error);
    }
    revocations->cannot_forget = has_failed;
}

/* With the mutex of changes held. */
static signet_status revocations_add(struct sg_revocations *revocations,
                                     struct sg_store_revocation *revocation, char *error,
                                     size_t error_cap)
{
    int64_t now = revocations->read_wall_s();
    int64_t ended_before = now - SG_BOARD_CLOCK_MARGIN_S;
    revocation->at = now;
    const struct sg_board_revocation entry = revocations_entry(revocation);
    /* Nobody else takes the room. */
    signet_status status =
        sg_board_writer_reserve(revocations->board, &entry, ended_before, error, error_cap);
    if (status == SIGNET_OK) {
        status = sg_store_revoke(revocations->store, revocation, 1, error, error_cap);
    }
    if (status == SIGNET_OK) {
        status = revocations_put(revocations, revocation, ended_before, error, error_cap);
    }
    if (status == SIGNET_OK) {
        revocations_forget(revocations, now);
    }
    return status;
}

/* An earlier revocation may say more, as when the clock was set back since. */
static void revocations_tell(const struct sg_revocations *revocations,
                             struct sg_store_revocation *revocation)
{
    if (revocation->kind == SG_STORE_REVOKED_TOKEN) {
        int64_t until =
            revocations_find(revocations, SG_BOARD_TOKEN, revocation->scope, revocation->name);
        revocation->until = until > revocation->until ? until : revocation->until;
    } else if (revocation->kind != SG_STORE_REVOKED_KID) {
        bool is_keyset = revocation->kind == SG_STORE_REVOKED_KEYSET;
        int64_t from = revocations_find(revocations, (enum sg_board_kind)revocation->kind,
                                        is_keyset ? "" : revocation->scope,
                                        is_keyset ? revocation->scope : revocation->name);
        revocation->at = from > revocation->at + 1 ? from - 1 : revocation->at;
    }
}

signet_status sg_revocations_add(struct sg_revocations *revocations,
                                 struct sg_store_revocation *revocation, char *error,
                                 size_t error_cap)
{
    (void)pthread_mutex_lock(&revocations->changes);
    signet_status status = revocations_add(revocations, revocation, error, error_cap);
    if (status == SIGNET_OK) {
        revocations_tell(revocations, revocation);
    }
    (void)pthread_mutex_unlock(&revocations->changes);
    return status;
}

/* Tokens that were issued before this second were revoked, as the subject's or as the keyset's. */
static int64_t revocations_issued_from(const struct sg_revocations *revocations, const char *issuer,
                                       const char *subject, const char *keyset)
{
    int64_t of_subject = revocations_find(revocations, SG_BOARD_SUBJECT, issuer, subject);
    int64_t of_keyset = revocations_find(revocations, SG_BOARD_KEYSET, "", keyset);
    return of_subject > of_keyset ? of_subject : of_keyset;
}

bool sg_revocations_has_kid(struct sg_revocations *revocations, const char *keyset, const char *kid)
{
    return revocations_find(revocations, SG_BOARD_KID, keyset, kid) != 0;
}

bool sg_revocations_refuse(struct sg_revocations *revocations,
                           const struct sg_revocations_token *token)
{
    int64_t from =
        revocations_issued_from(revocations, token->issuer, token->subject, token->keyset);
    return (from != 0 && (!token->has_iat || token->iat < from)) ||
           revocations_find(revocations, SG_BOARD_TOKEN, token->issuer, token->jti) != 0 ||
           sg_revocations_has_kid(revocations, token->keyset, token->kid);
}

int64_t sg_revocations_sign_from(struct sg_revocations *revocations, const char *issuer,
                                 const char *subject, const char *keyset)
{
    return revocations_issued_from(revocations, issuer, subject, keyset);
}

/* ---- Making ---- */

signet_status sg_revocations_new(struct sg_store *store, struct sg_board_writer *board,
                                 int64_t (*read_wall_s)(void), struct sg_revocations **out,
                                 char *error, size_t error_cap)
{
    struct sg_revocations *revocations = calloc(1, sizeof(*revocations));
    if (revocations == NULL) {
        (void)snprintf(error, error_cap, "the daemon is out of memory");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    revocations->store = store;
    revocations->board = board;
    revocations->read_wall_s = read_wall_s;
    /* With default attributes this cannot fail on Linux. */
    (void)pthread_mutex_init(&revocations->changes, NULL);
    signet_status status = revocations_load(revocations, error, error_cap);
    if (status != SIGNET_OK) {
        sg_revocations_free(revocations);
        return status;
    }
    *out = revocations;
    return SIGNET_OK;
}

void sg_revocations_free(struct sg_revocations *revocations)
{
    if (revocations == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&revocations->changes);
    sg_store_close(revocations->own_store);
    sg_board_writer_close(revocations->own_board);
    free(revocations);
}

signet_status sg_revocations_list(struct sg_revocations *revocations,
                                  const struct sg_store_revocation_key *after, size_t max,
                                  void (*visit)(void *context,
                                                const struct sg_store_revocation *revocation),
                                  void *context, char *error, size_t error_cap)
{
    return sg_store_list_revocations(revocations->store, after, max, visit, context, error,
                                     error_cap);
}
