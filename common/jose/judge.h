/* SPDX-License-Identifier: Apache-2.0
 *
 * The judgement of a token, apart from where its keys and revocations are: for the daemon and for libsignet-local,
 * which must give the same answers. In this order, each step only if all before it went well:
 *
 *   1. the token is well-formed (common/jose/jws)              else MALFORMED, UNSUPPORTED_HEADER
 *   2. there are keys that it may be under                     else UNKNOWN_KEY, KEY_REVOKED
 *   3. some of them are of the algorithm its header names      else WRONG_ALG
 *   4. its signature is good under one of them                 else BAD_SIGNATURE
 *   5. its payload can be read, and is good for what is asked  else the claims' reasons
 *   6. it was not revoked                                      else REVOKED
 *
 * Pure: no clock, no files, no memory. Any thread.
 */
#ifndef SG_JOSE_JUDGE_H
#define SG_JOSE_JUDGE_H

#include "common/jose/claims.h"
#include "common/jose/jws.h"

/* Keys that are tried for one token, if several have its kid or it has none. */
#define SG_JUDGE_MAX_CANDIDATES 8u

/* What a token is refused with. */
extern const struct sg_verdict sg_judge_kid_unknown;  /* no key has its kid */
extern const struct sg_verdict sg_judge_keyset_empty; /* it has no kid, and the keyset no key */
extern const struct sg_verdict
    sg_judge_keyset_needed; /* it has no kid, and no keyset was asked for */
extern const struct sg_verdict sg_judge_key_revoked;
extern const struct sg_verdict sg_judge_bad_signature;
extern const struct sg_verdict sg_judge_revoked;

/* Whether tokens under a key are accepted. */
enum sg_judge_use {
    SG_JUDGE_IN_USE = 1,
    SG_JUDGE_ENDED,
    SG_JUDGE_KEY_REVOKED
};

/* sg_judge_consider says whether a key is to be tried: tokens under it are accepted, and it is of the algorithm that the
 * header names; which is the key's to say, so that a header can leave keys out and bring none in (RFC 8725 section 3.1).
 * If not, *refusal becomes what the token is refused with should no key be left: it begins as sg_judge_kid_unknown or
 * sg_judge_keyset_empty, and goes through the calls for all keys of the token. */
bool sg_judge_consider(const struct sg_jws *jws, enum sg_alg alg, enum sg_judge_use use,
                       struct sg_verdict *refusal);

/* Whose key signed a token. */
struct sg_judge_signer {
    const char *issuer; /* a key speaks for one issuer */
    /* A foreign issuer may be trusted for some audiences only: the token has to be for one of these, and that one has to
     * be among those asked for. */
    const char *const *audiences;
    size_t num_audiences; /* 0: any */
};

/* sg_judge_claims judges step 5 of claims that could be read. asked->issuer is the one that was asked for; the signer's
 * is demanded in any case. NONE: good, unless it was revoked. */
struct sg_verdict sg_judge_claims(const struct sg_claims *claims, const struct sg_jws *jws,
                                  const struct sg_judge_signer *signer,
                                  const struct sg_expectation *asked);

#endif
