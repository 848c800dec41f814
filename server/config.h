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
#include "server/right.h"

#define SG_CONFIG_FILE         "/etc/signet/signet.yaml"
#define SG_CONFIG_RUNTIME_DIR  "/run/signet"
#define SG_CONFIG_STATE_DIR    "/var/lib/signet"
#define SG_CONFIG_TRUST_DIR    "/etc/signet/trust.d"
#define SG_CONFIG_KEYSTORE_KEY "file:/etc/signet/keystore.key"
#define SG_CONFIG_EPHEMERAL    "ephemeral"
/* The keyset that signs the heads of the audit; no keyset in the file may have its name. */
#define SG_CONFIG_AUDIT_KEYSET "signet-audit"

#define SG_CONFIG_MAX_LIST 64u /* entries of any list of a grant */

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
    bool
        is_internal; /* the daemon's own, which the file does not name: see SG_CONFIG_AUDIT_KEYSET */
};

struct sg_config_limits {
    uint32_t max_connections;              /* default 4096 */
    uint32_t max_connections_per_uid;      /* default 2048 */
    uint32_t max_in_flight;                /* whole daemon; default 1024 */
    uint32_t max_in_flight_per_connection; /* default 64 */
    /* Memory for partly read requests and unsent replies, whole daemon; default 64. */
    uint32_t max_buffer_mib;
    uint32_t max_cached_macs; /* tokens whose MAC is known to be good; 0: none; default 4096 */
    uint32_t idle_timeout_s;  /* 0: none; default 0 */
    uint32_t workers;         /* threads for slow work; default: number of CPUs, 1 to 64 */
    uint32_t max_in_flight_per_uid; /* default 512 */
    /* What the cryptography of one uid's requests may take, in hundredths of all processors' time; 1 to
     * 100, default 50. 0 ("off"): it is not counted. */
    uint32_t cpu_per_uid_percent;
    uint32_t cpu_burst_ms; /* saved up at most, in milliseconds of one processor; default 1000 */
    uint32_t consumed_per_uid; /* used tokens that are remembered for one uid; default 100000 */
};

/* The process that holds the keys. */
struct sg_config_keyholder {
    char *user;   /* to run it as when started as root; NULL: as the daemon's user */
    char *socket; /* where a supervisor starts it; NULL: the daemon does. Not together with user */
    uint32_t required; /* enum sg_protection: without these the daemon does not start; default 0 */
};

/* Who a grant is for. All that is given must match; NULL or false: not asked. */
struct sg_config_who {
    bool is_anybody; /* "anybody: true", which nothing else may be given with */
    char *user;      /* a name or a number */
    uid_t uid;       /* of user */
    char *group;     /* a name or a number: the peer's own or a supplementary one */
    gid_t gid;       /* of group */
    char *exe;       /* absolute path, as the daemon sees it */
    bool has_exe_sha256;
    uint8_t exe_sha256[32];
    char *unit; /* of systemd, such as login.service; may hold '*' */
};

struct sg_config_forced_claim {
    char *name,
        *value; /* the value may hold ${peer.user}, ${peer.uid}, ${peer.gid}, ${peer.unit} */
};

/* What a grant lets its peers put into tokens. */
struct sg_config_claim_rules {
    bool has_allowed; /* allowed was given, even if empty: other names are refused */
    char **allowed;   /* names or globs of claims that the caller may set */
    size_t num_allowed;
    char **required; /* names that the caller has to set */
    size_t num_required;
    char **denied; /* names or globs that it may not set */
    size_t num_denied;
    struct sg_config_forced_claim *forced; /* set by the daemon; the caller may not */
    size_t num_forced;
    char **audiences; /* globs, with templates; each audience must match one. None: any audience */
    size_t num_audiences;
    char *subject;            /* a glob with templates; NULL: any subject */
    uint32_t max_ttl_s;       /* 0: the keyset's */
    uint32_t max_payload_len; /* of claims_json, in bytes; 0: SG_MAX_CLAIMS_JSON_LEN */
    bool allow_sensitive;     /* names such as "password", and card numbers; default false */
};

/* The first grant in the file that is for the peer, the right and the keyset decides. */
struct sg_config_grant {
    char *name; /* as a keyset's; no two have one */
    size_t line;
    struct sg_config_who who;
    unsigned may;   /* enum sg_right, at least one */
    char **keysets; /* names or globs, at least one */
    size_t num_keysets;
    struct sg_config_claim_rules claims;
    uint32_t
        max_live_tokens; /* tokens that have not expired; above it the grant is frozen. 0: no bound */
};

/* What a request meets that is to be recorded when there is no room to. */
enum sg_audit_on_full {
    SG_AUDIT_BLOCK = 1, /* waits, up to its deadline */
    SG_AUDIT_DENY,      /* is refused */
    SG_AUDIT_DROP       /* is done; the record is not, which is counted */
};

struct sg_config_audit {
    char *dir; /* default state_dir/audit; "off": NULL, as with ephemeral keys unless it is given */
    enum sg_audit_on_full on_full; /* default block */
    bool verifications;            /* record those of good tokens too; default false */
    uint32_t max_file_mib;         /* another file is begun; default 64 */
    uint32_t max_file_age_s;       /* likewise; default 1 day */
    uint32_t max_files;            /* older ones are removed; 0: none is; default 0 */
    uint32_t queue_kib;            /* default 4096 */
    uint32_t head_every_s;         /* between signed heads; default 60 */
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
    struct sg_config_grant *grants; /* in the order of the file; none: nobody may do anything */
    size_t num_grants;
    struct sg_config_audit audit;
};

/* sg_config_load reads and validates path. On failure error holds one or more lines
 * "FILE:LINE: key: what was wrong and what was expected". Blocks for lookups of users and groups. */
signet_status sg_config_load(const char *path, struct sg_config **out, char *error,
                             size_t error_cap) SIGNET_MUST_CHECK;

/* sg_config_is_ephemeral says whether keys are to end with the process. */
bool sg_config_is_ephemeral(const struct sg_config *config);

/* sg_config_audit_keyset is the keyset that signs the heads of the audit; static. NULL if the audit is off. */
const struct sg_config_keyset *sg_config_audit_keyset(const struct sg_config *config);

/* sg_config_difference names the first setting that differs between two configurations and that
 * only a start can change, as "limits.workers": all but keysets, grants and trust_dir. NULL if there
 * is none; static otherwise. */
const char *sg_config_difference(const struct sg_config *running, const struct sg_config *fresh);

/* sg_config_override puts what the command line says in the place of what the configuration says;
 * NULL leaves it. On failure error says what was expected. */
signet_status sg_config_override(struct sg_config *config, const char *runtime_dir,
                                 const char *user, char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* What a keyset's name is, in the configuration and in requests: 1 to 64 of a-z 0-9 . _ - */
bool sg_config_is_name(const char *text);
/* What a typ is, likewise: 1 to 64 of A-Z a-z 0-9 ! # $ & ^ _ . + - / */
bool sg_config_is_typ(const char *text);

/* sg_config_demo is what --dev runs with: everybody may sign, verify and revoke with every keyset. */
signet_status sg_config_demo(struct sg_config **out) SIGNET_MUST_CHECK;
void sg_config_free(struct sg_config *config);

#endif
