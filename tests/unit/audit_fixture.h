/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests of the audit: a directory with an audit, events, clocks that tests can push on, and what
 * signet-audit says of it.
 */
#ifndef SG_TEST_AUDIT_FIXTURE_H
#define SG_TEST_AUDIT_FIXTURE_H

#include <jansson.h>
#include <stdbool.h>

#include "server/audit.h"

struct audit_fixture {
    char root[96]; /* temporary */
    char dir[112]; /* root/audit */
    struct sg_config_audit config;
    struct sg_audit_options options; /* with the clocks below, and no heads */
};

/* audit_setup and audit_teardown: *state is the fixture. The directory itself is not made. */
int audit_setup(void **state);
int audit_teardown(void **state);

/* Clocks: the real ones, and how much they were pushed on. */
uint64_t audit_mono_ms(void);
int64_t audit_wall_ms(void);
void audit_push_clocks(uint64_t ms);

struct sg_audit *audit_start(const struct audit_fixture *fixture);
/* audit_try records a signing of the token jti; whether it may be. */
signet_status audit_try(struct sg_audit *audit, const char *jti, uint64_t wait_ms);
void audit_record(struct sg_audit *audit, const char *jti);
void audit_refuse(struct sg_audit *audit, uid_t uid, const char *reason);
void audit_flush(struct sg_audit *audit);

/* audit_has_heads makes a key and signs heads with it; DIR/heads.jwks is written by audit_write_keys, once DIR
 * is there. audit_fail_heads: the next so many cannot be signed. */
void audit_has_heads(struct audit_fixture *fixture);
void audit_write_keys(const struct audit_fixture *fixture);
void audit_fail_heads(unsigned num);

/* audit_tool runs signet-audit COMMAND --dir DIR --json, and more arguments (NULL ends them). Returns what it
 * prints, to be released; NULL if it is no JSON. */
json_t *audit_tool(const struct audit_fixture *fixture, int exit_status, const char *command,
                   const char *const *arguments);
/* audit_verify expects a good chain, and returns what verify says of it. */
json_t *audit_verify(const struct audit_fixture *fixture);
/* audit_verify_num expects so many records in it. */
void audit_expect_good(const struct audit_fixture *fixture);

/* audit_lines reads all records in order, as an array. */
json_t *audit_lines(const struct audit_fixture *fixture);
size_t audit_count(const json_t *lines, const char *member, const char *value);

#endif
