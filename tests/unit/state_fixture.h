/* SPDX-License-Identifier: Apache-2.0
 *
 * State directories of one's own, and ways to look at them, to spoil them and to fill their disk.
 */
#ifndef SG_TEST_STATE_FIXTURE_H
#define SG_TEST_STATE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/store.h"

#define STATE_MAX_PATH 160

struct state_place {
    char dir[96];
    char other[96];
};

/* Set-up and tear-down of one case; *state is a struct state_place of two empty directories. */
int state_setup(void **state);
int state_teardown(void **state);
/* The same with dir on a disk of one MiB; without the right to mount one there is no place. */
int state_disk_setup(void **state);
int state_disk_teardown(void **state);
/* state_disk_of gives the place, or skips the case. */
const struct state_place *state_disk_of(void **state);
void state_fill_disk(const char *dir);
void state_free_disk(const char *dir);

struct state_path {
    char text[STATE_MAX_PATH];
};

struct state_path state_path(const char *dir, const char *name);
bool state_has_file(const char *dir, const char *name);
void state_put_file(const char *dir, const char *name, const void *bytes, size_t len);
void state_copy_file(const char *from, const char *to, const char *name);
/* state_copy_all copies what a crash of the machine would leave, if nothing were in the kernel's hands. */
void state_copy_all(const char *from, const char *to);
void state_must_be_file(const char *dir, const char *name, const void *bytes, size_t len);

/* state_open and state_must_stop must work. */
struct sg_store *state_open(const char *dir);
void state_must_stop(struct sg_store *store);
/* state_must_refuse sees that opening is refused, and that the message has both texts. */
void state_must_refuse(const char *dir, signet_status status, const char *text, const char *mend);
/* The same for a database that cannot be used, with every file as it was. */
void state_must_refuse_untouched(const char *dir, const char *text);

/* state_revoke must work; it is asked for by uid 1 with the reason "test". */
void state_revoke(struct sg_store *store, enum sg_store_revocation_kind kind, const char *scope,
                  const char *name, int64_t at, int64_t until);
/* All that is revoked, such as "1 https://a jti 5 6; ": kind, scope, name, at and until. */
void state_must_have_revoked(struct sg_store *store, const char *expected);
/* state_consume must work; what came of it. */
enum sg_store_outcome state_consume(struct sg_store *store, const char *issuer, const char *jti,
                                    int64_t until, uid_t uid, uint64_t max_per_uid);

/* state_run_sql is another program's hands on the database. */
void state_run_sql(const char *dir, const char *sql);
/* state_ask_sql is its look at a copy: the one number of the answer. */
int64_t state_ask_sql(const char *dir, const char *sql);

#endif
