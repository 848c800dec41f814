/* SPDX-License-Identifier: Apache-2.0
 *
 * signet.yaml: schema-checked reading (libcyaml) and validation. Every complaint names file, line,
 * key and what was expected.
 */
#ifndef SG_CONFIG_H
#define SG_CONFIG_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/jose/alg.h"

#define SG_CONFIG_FILE        "/etc/signet/signet.yaml"
#define SG_CONFIG_RUNTIME_DIR "/run/signet"
#define SG_CONFIG_STATE_DIR   "/var/lib/signet"

struct sg_config_keyset {
    char *name;
    char *alg_name;
    enum sg_alg alg;
    char *issuer;
    char *typ;              /* default "JWT" */
    uint32_t default_ttl_s; /* default 900 */
    uint32_t max_ttl_s;     /* default 86400 */
    uint32_t rsa_bits;      /* default 2048; RSA only */
};

struct sg_config_limits {
    uint32_t max_connections;              /* default 4096 */
    uint32_t max_connections_per_uid;      /* default 2048 */
    uint32_t max_in_flight;                /* whole daemon; default 1024 */
    uint32_t max_in_flight_per_connection; /* default 64 */
    /* Memory for partly read requests and unsent replies, whole daemon; default 64. */
    uint32_t max_buffer_mib;
    uint32_t idle_timeout_s; /* 0: none; default 0 */
    uint32_t workers;        /* threads for slow work; default: number of CPUs, 1 to 64 */
};

struct sg_config {
    char *runtime_dir;  /* default /run/signet */
    char *state_dir;    /* default /var/lib/signet */
    char *user;         /* to drop to when started as root; NULL: none */
    mode_t socket_mode; /* default 0660 */
    struct sg_config_limits limits;
    struct sg_config_keyset *keysets;
    size_t num_keysets;
};

/* sg_config_load reads and validates path. On failure error holds one or more lines
 * "FILE:LINE: key: what was wrong and what was expected". */
signet_status sg_config_load(const char *path, struct sg_config **out, char *error,
                             size_t error_cap) SIGNET_MUST_CHECK;

/* sg_config_override puts what the command line says in the place of what the configuration says;
 * NULL leaves it. On failure error says what was expected. */
signet_status sg_config_override(struct sg_config *config, const char *runtime_dir,
                                 const char *user, char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* What a keyset's name is, in the configuration and in requests: 1 to 64 of a-z 0-9 . _ - */
bool sg_config_is_name(const char *text);
/* What a typ is, likewise: 1 to 64 of A-Z a-z 0-9 ! # $ & ^ _ . + - / */
bool sg_config_is_typ(const char *text);

/* sg_config_demo is what --dev runs with. */
signet_status sg_config_demo(struct sg_config **out) SIGNET_MUST_CHECK;
void sg_config_free(struct sg_config *config);

#endif
