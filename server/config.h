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

#define SG_CONFIG_FILE         "/etc/signet/signet.yaml"
#define SG_CONFIG_RUNTIME_DIR  "/run/signet"
#define SG_CONFIG_STATE_DIR    "/var/lib/signet"
#define SG_CONFIG_TRUST_DIR    "/etc/signet/trust.d"
#define SG_CONFIG_KEYSTORE_KEY "file:/etc/signet/keystore.key"
#define SG_CONFIG_EPHEMERAL    "ephemeral"

struct sg_config_keyset {
    char *name;
    char *alg_name;
    enum sg_alg alg;
    char *issuer;
    char *typ;              /* default "JWT" */
    uint32_t default_ttl_s; /* default 900 */
    uint32_t max_ttl_s;     /* default 86400 */
    uint32_t rsa_bits;      /* default 2048; RSA only */
    /* Rotation, in seconds. */
    uint32_t rotate_every_s; /* default 30 days; 0 ("never"): on demand only */
    /* A new key is published this long before it signs; default 1 h, or half of rotate_every_s if
     * that is less. Less than rotate_every_s, unless that is 0. */
    uint32_t publish_lead_s;
    uint32_t overlap_s; /* an old key is kept at least this long after it last signed; default 0 */
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

/* The process that holds the keys. */
struct sg_config_keyholder {
    char *user;   /* to run it as when started as root; NULL: as the daemon's user */
    char *socket; /* where a supervisor starts it; NULL: the daemon does. Not together with user */
    uint32_t required; /* enum sg_protection: without these the daemon does not start; default 0 */
};

struct sg_config {
    char *runtime_dir;  /* default /run/signet */
    char *state_dir;    /* default /var/lib/signet */
    char *user;         /* to drop to when started as root; NULL: none */
    mode_t socket_mode; /* default 0660 */
    /* file:PATH (the default, SG_CONFIG_KEYSTORE_KEY), credential:NAME or passphrase: ; or
     * "ephemeral": there is no keystore, and keys end with the process */
    char *keystore_key;
    /* Default /etc/signet/trust.d; one that is not there has no issuers. Empty: there is none. */
    char *trust_dir;
    struct sg_config_keyholder keyholder;
    struct sg_config_limits limits;
    struct sg_config_keyset *keysets;
    size_t num_keysets;
};

/* sg_config_load reads and validates path. On failure error holds one or more lines
 * "FILE:LINE: key: what was wrong and what was expected". */
signet_status sg_config_load(const char *path, struct sg_config **out, char *error,
                             size_t error_cap) SIGNET_MUST_CHECK;

/* sg_config_is_ephemeral says whether keys are to end with the process. */
bool sg_config_is_ephemeral(const struct sg_config *config);

/* sg_config_difference names the first setting that differs between two configurations and that
 * only a start can change, as "limits.workers": all but keysets and trust_dir. NULL if there is
 * none; static otherwise. */
const char *sg_config_difference(const struct sg_config *running, const struct sg_config *fresh);

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
