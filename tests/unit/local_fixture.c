/* SPDX-License-Identifier: Apache-2.0
 *
 * A board, and what is attached to it.
 */
#include "tests/unit/local_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs these and one of the header's. */
#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/files.h"

static _Atomic uint64_t local_clock_ms;

static struct {
    atomic_uint num;
    char last[512];
} local_said;

void local_set_boot_ms(uint64_t boot_ms)
{
    atomic_store(&local_clock_ms, boot_ms);
}

uint64_t local_boot_ms(void)
{
    return atomic_load(&local_clock_ms);
}

static void local_notice(void *context, const char *message)
{
    assert_ptr_equal(context, &local_said);
    (void)snprintf(local_said.last, sizeof(local_said.last), "%s", message);
    atomic_fetch_add(&local_said.num, 1);
}

unsigned local_notices(const char **last)
{
    if (last != NULL) {
        *last = local_said.last;
    }
    return atomic_exchange(&local_said.num, 0);
}

void local_open_writer(struct local_fixture *fixture)
{
    if (sg_board_writer_open(fixture->dir, local_boot_ms(), &fixture->writer, fixture->error,
                             sizeof(fixture->error)) != SIGNET_OK) {
        fail_msg("%s", fixture->error);
    }
}

void local_setup(struct local_fixture *fixture)
{
    *fixture = (struct local_fixture){.local = NULL};
    local_set_boot_ms(LOCAL_BOOT_MS);
    (void)local_notices(NULL);
    test_temp_dir(fixture->dir, sizeof(fixture->dir));
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/" SG_BOARD_FILE, fixture->dir);
    local_open_writer(fixture);
}

void local_teardown(struct local_fixture *fixture)
{
    sg_local_free(fixture->local);
    sg_board_writer_close(fixture->writer);
    test_remove_tree(fixture->dir);
}

void local_open(struct local_fixture *fixture)
{
    const struct sg_local_config config = {.path = fixture->path,
                                           .owner = geteuid(),
                                           .max_age_ms = LOCAL_MAX_AGE,
                                           .read_boot_ms = local_boot_ms,
                                           .notice = local_notice,
                                           .context = &local_said};
    assert_int_equal(sg_local_new(&config, &fixture->local), SIGNET_OK);
}

void local_publish(struct local_fixture *fixture, const struct sg_board_key *keys, size_t num)
{
    if (sg_board_writer_publish(fixture->writer, keys, num, LOCAL_NOW, fixture->error,
                                sizeof(fixture->error)) != SIGNET_OK) {
        fail_msg("%s", fixture->error);
    }
}

void local_revoke(struct local_fixture *fixture, enum sg_board_kind kind, const char *scope,
                  const char *name, int64_t value)
{
    const struct sg_board_revocation revocation = {.kind = kind,
                                                   .scope = scope,
                                                   .scope_len = strlen(scope),
                                                   .name = name,
                                                   .name_len = strlen(name),
                                                   .value = value};
    if (sg_board_writer_revoke(fixture->writer, &revocation, LOCAL_NOW, fixture->error,
                               sizeof(fixture->error)) != SIGNET_OK) {
        fail_msg("%s", fixture->error);
    }
}

struct sg_board_text local_text(const char *text)
{
    return (struct sg_board_text){text, strlen(text)};
}

struct sg_board_key local_record(const char *keyset, const char *kid, enum sg_alg alg,
                                 const struct sg_public_key *key)
{
    struct sg_board_key record = {.keyset = local_text(keyset),
                                  .issuer = local_text(LOCAL_ISSUER),
                                  .typ = local_text("JWT"),
                                  .kid = local_text(kid),
                                  .alg = alg,
                                  .verify_from = INT64_MIN,
                                  .verify_until = INT64_MAX};
    if (key != NULL) {
        record.public_key.bytes = (const char *)sg_public_key_spki(key, &record.public_key.len);
    }
    return record;
}

struct sg_local_answer local_verify(const struct local_fixture *fixture, const char *token,
                                    const struct signet_verify_options *options)
{
    struct sg_local_answer answer = {.outcome = (enum sg_local_outcome)0};
    sg_local_ops.verify(fixture->local, token, strlen(token), options, LOCAL_NOW, &answer);
    assert_in_range(answer.outcome, SG_LOCAL_ASK, SG_LOCAL_NO_MEMORY);
    assert_true((answer.body != NULL) == (answer.outcome == SG_LOCAL_GOOD));
    assert_true((answer.reason != SIGNET_REASON_NONE) == (answer.outcome == SG_LOCAL_REFUSED));
    assert_true((answer.detail != NULL) == (answer.outcome == SG_LOCAL_REFUSED));
    return answer;
}

void local_release(struct sg_local_answer *answer)
{
    if (answer->body != NULL && atomic_fetch_sub(&answer->body->num_refs, 1) == 1) {
        answer->body->release(answer->body);
    }
    answer->body = NULL;
}
