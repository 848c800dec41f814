/* SPDX-License-Identifier: Apache-2.0
 *
 * Foreign issuers: trust.d/NAME.yaml names an issuer, the algorithms and audiences that its tokens may
 * have, and a JWKS file with its public keys. Reads files and nothing else: what is taken from them is
 * public keys, checked as every key is. Makes no network request.
 *
 *     issuer: https://idp.example
 *     algorithms: [RS256, ES256]       # no HMAC: its secret would have to be here
 *     audiences: [orders, billing]     # optional: tokens for others are refused, whatever is asked
 *     jwks: idp.jwks.json              # relative to the directory, or absolute
 */
#ifndef SG_TRUST_H
#define SG_TRUST_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jose/public_key.h"

struct sg_trust;

#define SG_TRUST_MAX_ISSUERS 256u
#define SG_TRUST_MAX_KEYS    256u /* of one issuer */

/* One public key of a foreign issuer, for one algorithm. */
struct sg_trust_key {
    char kid[SG_MAX_KID_LEN + 1]; /* empty: it has none */
    enum sg_alg alg;
    struct sg_public_key *public_key; /* shared; owned by the issuer */
};

/* One issuer as it was last read without fault. Immutable; lives while somebody holds a reference. */
struct sg_trust_issuer {
    char name[SG_MAX_KEYSET_NAME_LEN +
              1]; /* NAME of NAME.yaml: as of a keyset, and none has it too */
    char issuer[SG_MAX_ISSUER_LEN + 1];
    char audiences[SG_MAX_AUDIENCES][SG_MAX_AUDIENCE_LEN + 1];
    size_t num_audiences; /* 0: any */
    struct sg_trust_key *keys;
    size_t num_keys;
    /* Of the bytes of both files. Good for telling changes only: who could make two of one digest
     * could as well leave the files as they are. */
    uint64_t yaml_digest, jwks_digest;
};

struct sg_trust_issuer *sg_trust_issuer_ref(struct sg_trust_issuer *issuer); /* any thread */
void sg_trust_issuer_unref(struct sg_trust_issuer *issuer);                  /* NULL is legal */

/* The names that no foreign issuer may have. */
struct sg_trust_local {
    const char *const *keysets;
    const char *const *issuers;
    size_t num; /* of each */
};

/* sg_trust_new watches a directory, which need not be there. Reads nothing yet. */
signet_status sg_trust_new(const char *dir, struct sg_trust **out) SIGNET_MUST_CHECK;
void sg_trust_free(struct sg_trust *trust);

/* sg_trust_read looks whether files came, went or changed (by inode, size and times), and reads those that
 * did, and once more at the next call. Returns whether what sg_trust_issuer_at gives is another than
 * before; an issuer whose files say the same as before stays the same object. A file that is bad (unsafe
 * owner or mode, not YAML, an unknown key, no usable key, an issuer that local or another file has)
 * leaves the issuer as it was last good, except that one whose issuer or name local has is dropped; what
 * is wrong is handed to complain once for each new fault, a line "FILE:LINE: what, and what was expected"
 * or "FILE: ...", and so is what is right again, with is_error false. Of two files with one issuer, the
 * one that had it first keeps it. A file that is gone takes its issuer along. Costs one stat a file when
 * nothing changed; never depends on what tokens come. One thread at a time. */
bool sg_trust_read(struct sg_trust *trust, const struct sg_trust_local *local,
                   void (*complain)(void *context, bool is_error, const char *line), void *context);

/* sg_trust_visit_faults calls visit for everything that is wrong now, in the words of complain. */
void sg_trust_visit_faults(const struct sg_trust *trust,
                           void (*visit)(void *context, const char *line), void *context);

/* In the order of their names. The caller takes a reference of its own if it keeps one. */
size_t sg_trust_num_issuers(const struct sg_trust *trust);
struct sg_trust_issuer *sg_trust_issuer_at(const struct sg_trust *trust, size_t index);

#endif
