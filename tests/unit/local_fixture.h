/* SPDX-License-Identifier: Apache-2.0
 *
 * libsignet-local over a board in a temporary directory, with a clock that stands still: keys and revocations are put
 * there by the daemon's writer, and tokens are signed by a second hand (jose_token.h).
 */
#ifndef SG_TEST_LOCAL_FIXTURE_H
#define SG_TEST_LOCAL_FIXTURE_H

#include "client/local.h"
#include "server/board_writer.h"
#include "tests/unit/jose_token.h"

#define LOCAL_NOW     INT64_C(1800000000)
#define LOCAL_BOOT_MS UINT64_C(50000)
#define LOCAL_MAX_AGE 2000u
#define LOCAL_ISSUER  "https://login.example"

struct local_fixture {
    char dir[96];
    char path[128]; /* of the board */
    char error[512];
    struct sg_board_writer *writer;
    struct sg_local *local;
};

/* local_setup opens a writer, with nothing published, and nothing attached. local_teardown ends both. */
void local_setup(struct local_fixture *fixture);
void local_teardown(struct local_fixture *fixture);

/* The clock of what is attached and of beats, in ms. */
void local_set_boot_ms(uint64_t boot_ms);
uint64_t local_boot_ms(void);

/* local_open_writer opens one, as a daemon that starts. */
void local_open_writer(struct local_fixture *fixture);
/* local_open attaches to the path. */
void local_open(struct local_fixture *fixture);
/* local_publish and local_revoke must work. */
void local_publish(struct local_fixture *fixture, const struct sg_board_key *keys, size_t num);
void local_revoke(struct local_fixture *fixture, enum sg_board_kind kind, const char *scope,
                  const char *name, int64_t value);

/* What was said since the last call. *last: the last of it, static. */
unsigned local_notices(const char **last);

/* local_text borrows a string. */
struct sg_board_text local_text(const char *text);
/* local_record is a key of ours, always in use, of LOCAL_ISSUER. key must outlive it; NULL: of a secret. */
struct sg_board_key local_record(const char *keyset, const char *kid, enum sg_alg alg,
                                 const struct sg_public_key *key);

/* local_verify judges at LOCAL_NOW; the body, if there is one, is for local_release. */
struct sg_local_answer local_verify(const struct local_fixture *fixture, const char *token,
                                    const struct signet_verify_options *options);
void local_release(struct sg_local_answer *answer);

#endif
