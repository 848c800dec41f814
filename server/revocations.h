/* SPDX-License-Identifier: Apache-2.0
 *
 * Which tokens are refused although they would be good: single ones by issuer and jti, those of an issuer's
 * subject that were issued until a second, those of a keyset likewise, and all of one key. What is revoked is in the
 * store, and on the trust board, before it is acknowledged; every verification, here or in a process that reads the
 * board, looks there.
 *
 * Tokens have their "iat" in whole seconds, so that one which was issued in the second of a revocation may be from
 * before it: it is refused. For the same reason nothing may be signed for a revoked subject or keyset until that
 * second is over (sg_revocations_sign_from): it would be refused as well.
 */
#ifndef SG_REVOCATIONS_H
#define SG_REVOCATIONS_H

#include <stdbool.h>

#include "server/store.h"

struct sg_board_writer;
struct sg_revocations;

/* sg_revocations_new puts what is revoked onto the board, which nobody has seen yet. Store and board must outlive it; with
 * NULL in their places, nothing outlives the process, or is seen outside of it. read_wall_s is CLOCK_REALTIME in seconds.
 * RESOURCE_EXHAUSTED without memory, FAILED_PRECONDITION if the store is damaged; error says what would mend it. Blocks
 * for the disk. */
signet_status sg_revocations_new(struct sg_store *store, struct sg_board_writer *board,
                                 int64_t (*read_wall_s)(void), struct sg_revocations **out,
                                 char *error, size_t error_cap) SIGNET_MUST_CHECK;
void sg_revocations_free(struct sg_revocations *revocations); /* NULL is legal */

/* sg_revocations_add has tokens refused from now on: of the revocation all but `at` is the caller's, which is set
 * to now. What is in force afterwards, of the same and earlier ones, is in its `at` and `until`. When it returns OK,
 * that is durable, and every sg_revocations_refuse that begins from then on knows it, as does every reader of the board.
 * On failure nothing is revoked that was not; errors and blocking as of sg_store_revoke and sg_board_writer_revoke. Any
 * thread. */
signet_status sg_revocations_add(struct sg_revocations *revocations,
                                 struct sg_store_revocation *revocation, char *error,
                                 size_t error_cap) SIGNET_MUST_CHECK;

/* A token whose signature is good. */
struct sg_revocations_token {
    const char *issuer, *keyset, *kid;
    const char *jti, *subject; /* NULL: it has none */
    bool has_iat;
    int64_t iat; /* fractions cut off */
};

/* sg_revocations_refuse says whether it was revoked. One without iat may have been issued at any time. Any thread;
 * waits for nothing but another thread's change of the table. */
bool sg_revocations_refuse(struct sg_revocations *revocations,
                           const struct sg_revocations_token *token)
    __attribute__((warn_unused_result));

/* sg_revocations_sign_from is the first second in which a token may be issued that is not refused from the start;
 * 0: any. Any thread, as sg_revocations_refuse. */
int64_t sg_revocations_sign_from(struct sg_revocations *revocations, const char *issuer,
                                 const char *subject, const char *keyset);

/* sg_revocations_has_kid says whether every token under the keyset's key of this kid is refused. Any thread, as
 * sg_revocations_refuse. */
bool sg_revocations_has_kid(struct sg_revocations *revocations, const char *keyset, const char *kid)
    __attribute__((warn_unused_result));

/* sg_revocations_list is sg_store_list_revocations of its store. */
signet_status sg_revocations_list(struct sg_revocations *revocations,
                                  const struct sg_store_revocation_key *after, size_t max,
                                  void (*visit)(void *context,
                                                const struct sg_store_revocation *revocation),
                                  void *context, char *error, size_t error_cap) SIGNET_MUST_CHECK;

#endif
