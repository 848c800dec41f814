/* SPDX-License-Identifier: Apache-2.0
 *
 * signet.yaml as texts: its structure checked by libcyaml against a schema in which every value is
 * text, so that what is wrong with a value can be said with a line and all at once (config.c).
 */
#ifndef SG_CONFIG_TEXT_H
#define SG_CONFIG_TEXT_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config_lines.h"

/* What the file holds; NULL for what it does not. */
struct sg_config_text_keyset {
    const char *name, *alg, *issuer, *typ, *default_ttl, *max_ttl, *rsa_bits, *rotate_every,
        *publish_lead, *overlap;
};

struct sg_config_text_limits {
    const char *max_connections, *max_connections_per_uid, *max_in_flight,
        *max_in_flight_per_connection, *max_in_flight_per_uid, *max_buffer_mib, *max_cached_macs,
        *idle_timeout, *workers, *cpu_per_uid, *cpu_burst, *consumed_per_uid;
};

struct sg_config_text_keystore {
    const char *key;
};

struct sg_config_text_keyholder {
    const char *user, *socket;
    const char **require;
    unsigned require_count;
};

struct sg_config_text_who {
    const char *user, *group, *exe, *exe_sha256, *unit, *anybody;
};

struct sg_config_text_forced {
    const char *name, *value;
};

struct sg_config_text_claims {
    const char *const *allowed, *const *required, *const *denied, *const *audiences;
    const struct sg_config_text_forced *forced;
    unsigned allowed_count, required_count, denied_count, audiences_count, forced_count;
    const char *subject, *max_ttl, *max_payload, *allow_sensitive;
};

struct sg_config_text_grant {
    const char *name;
    struct sg_config_text_who who;
    const char *const *may, *const *keysets;
    unsigned may_count, keysets_count;
    struct sg_config_text_claims claims;
    const char *max_live_tokens;
};

struct sg_config_text_audit {
    const char *dir, *on_full, *verifications, *max_file_mib, *max_file_age, *max_files, *queue_kib,
        *head_every;
};

struct sg_config_text {
    const char *runtime_dir, *state_dir, *user, *socket_mode, *trust_dir;
    struct sg_config_text_keystore keystore;
    struct sg_config_text_keyholder keyholder;
    struct sg_config_text_limits limits;
    struct sg_config_text_audit audit;
    const struct sg_config_text_keyset *keysets;
    const struct sg_config_text_grant *grants;
    unsigned keysets_count, grants_count;
};

/* sg_config_text_read reads a file that sg_config_lines_read has found to be one YAML document. On
 * INVALID_ARGUMENT *fault says what is wrong: a key that there is none of, or a value of another
 * kind. */
signet_status sg_config_text_read(const uint8_t *bytes, size_t len,
                                  const struct sg_config_lines *lines, struct sg_config_text **out,
                                  struct sg_config_fault *fault) SIGNET_MUST_CHECK;
void sg_config_text_free(struct sg_config_text *text);

#endif
