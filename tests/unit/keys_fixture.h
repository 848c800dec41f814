/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys that live, with a clock that tests set: the keymaster over a keystore of its own in a temporary
 * directory, and the services over it, called through dispatch.
 */
#ifndef SG_TEST_KEYS_FIXTURE_H
#define SG_TEST_KEYS_FIXTURE_H

#include "server/config.h"
#include "server/keymaster.h"
#include "service_fixture.h"

#define KEYS_MAX_KEYSETS 4u

struct keys_fixture {
    struct fixture base; /* for fixture_call and its like; base.keyring stays NULL */
    char dir[96];
    char state_dir[128], trust_dir[128], jwks_path[128], source[160];
    struct sg_config config;
    struct sg_config_keyset keysets[KEYS_MAX_KEYSETS];
};

/* Set-up and tear-down of one case; *state is a struct keys_fixture. Keysets "es" (ES256) and "hs"
 * (HS256), which rotate every hour, with publish_lead 600 and max_ttl 1800 seconds. Nothing is started
 * yet. The clock stands at FIXTURE_NOW. */
int keys_setup(void **state);
int keys_teardown(void **state);

/* keys_start starts the keymaster; it must work. */
void keys_start(struct keys_fixture *keys);
/* keys_try_start fails with the message that it gives; free() it. NULL: it started. */
char *keys_try_start(struct keys_fixture *keys);
/* keys_stop ends it in order. */
void keys_stop(struct keys_fixture *keys);
/* keys_crash ends it as SIGKILL would: what it has not written is lost. */
void keys_crash(struct keys_fixture *keys);

int64_t keys_clock(void);
/* keys_set_clock sets the wall clock, and lets nothing else happen. */
void keys_set_clock(struct keys_fixture *keys, int64_t now);
/* keys_go sets it and ticks. */
void keys_go(struct keys_fixture *keys, int64_t now);

struct keys_token {
    char *text;
    char kid[257];
    int64_t expires_at;
};
/* keys_sign must work. free() the text. ttl_s 0: the keyset's. */
struct keys_token keys_sign(const struct keys_fixture *keys, const char *keyset, uint32_t ttl_s);
/* keys_judge verifies it for its audience. */
struct fixture_verdict keys_judge(const struct keys_fixture *keys, const struct keys_token *token);

/* keys_list lists one keyset, or all for ""; sg_key_list_fini it. */
struct sg_key_list keys_list(const struct keys_fixture *keys, const char *keyset);
/* keys_published says whether jwks.json has the kid. */
bool keys_published(const struct keys_fixture *keys, const char *kid);
/* keys_path names a file of the keystore. */
void keys_path(const struct keys_fixture *keys, const char *file, char *out, size_t out_cap);

#endif
