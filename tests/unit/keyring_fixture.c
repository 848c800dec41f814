/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of keyrings for tests.
 */
#include "keyring_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <string.h>

#include "server/keyholder/keyholder.h"
#include "server/policy.h"
#include "tests/support/grant_all.h"

struct sg_config_keyset ring_policy(char *name, enum sg_alg alg)
{
    static char issuer[] = RING_ISSUER;
    static char typ[] = "JWT";
    return (struct sg_config_keyset){
        .name = name,
        .alg = alg,
        .issuer = issuer,
        .typ = typ,
        .default_ttl_s = 300,
        .max_ttl_s = 600,
        .rsa_bits = 2048,
        .rotate_every_s = 3600,
        .publish_lead_s = 60,
        .overlap_s = 100,
    };
}

static struct sg_keyholder_reply ring_ask(struct sg_keyholder *keyholder,
                                          const struct sg_keyholder_request *request,
                                          const uint8_t *bytes)
{
    struct sg_keyholder_reply reply;
    assert_int_equal(sg_keyholder_call(keyholder, request, 1, bytes, request->data_len, &reply),
                     SIGNET_OK);
    return reply;
}

static struct sg_key_core *ring_adopt(struct sg_keyholder *keyholder, enum sg_alg alg,
                                      const char *kid, uint64_t slot)
{
    struct sg_public_key *public_key = NULL;
    struct sg_key_error error;
    char thumbprint[44] = "";
    if (sg_alg_info(alg)->family != SG_FAMILY_HMAC) {
        const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_PUBLIC, .slot = slot};
        struct sg_keyholder_reply reply = ring_ask(keyholder, &request, NULL);
        assert_int_equal(
            sg_public_key_from_spki(alg, reply.data, reply.data_len, &public_key, &error),
            SIGNET_OK);
        assert_int_equal(sg_public_key_thumbprint(public_key, thumbprint), SIGNET_OK);
    }
    struct sg_key_core *core =
        sg_key_core_new(keyholder, alg, kid != NULL ? kid : thumbprint, public_key, slot);
    assert_non_null(core);
    return core;
}

struct sg_key_core *ring_core(struct sg_keyholder *keyholder, enum sg_alg alg, const char *kid)
{
    const struct sg_keyholder_request request = {
        .op = SG_KEYHOLDER_GENERATE, .alg = alg, .rsa_bits = 2048};
    struct sg_keyholder_reply reply = ring_ask(keyholder, &request, NULL);
    assert_int_equal(reply.status, SIGNET_OK);
    return ring_adopt(keyholder, alg, kid, reply.slot);
}

struct sg_key_core *ring_core_import(struct sg_keyholder *keyholder, enum sg_alg alg,
                                     const char *kid, const uint8_t *secret, size_t len)
{
    const struct sg_keyholder_request request = {
        .op = SG_KEYHOLDER_IMPORT, .alg = alg, .data_len = (uint32_t)len};
    struct sg_keyholder_reply reply = ring_ask(keyholder, &request, secret);
    assert_int_equal(reply.status, SIGNET_OK);
    return ring_adopt(keyholder, alg, kid, reply.slot);
}

struct sg_keyring_key ring_key(struct sg_key_core *core, uint32_t seq, int64_t sign_from)
{
    return (struct sg_keyring_key){
        .core = core,
        .times = {
            .seq = seq, .max_ttl_s = 600, .created_at = sign_from - 60, .sign_from = sign_from}};
}

struct sg_keyring *ring_build(const struct sg_keyring_part *parts, size_t num_parts,
                              struct sg_trust_issuer *const *issuers, size_t num_issuers)
{
    struct sg_keyring *keyring = NULL;
    struct sg_policy *policy = NULL;
    assert_int_equal(sg_keyring_build(parts, num_parts, issuers, num_issuers, &keyring), SIGNET_OK);
    assert_non_null(keyring);
    assert_int_equal(sg_policy_new(grant_all(), 1, &policy), SIGNET_OK);
    sg_keyring_set_policy(keyring, policy);
    sg_policy_unref(policy);
    return keyring;
}

bool ring_slot_is_taken(struct sg_keyholder *keyholder, uint64_t slot)
{
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_DESTROY, .slot = slot};
    return ring_ask(keyholder, &request, NULL).status == SIGNET_OK;
}

/* ---- In the place of server/trust.c ---- */

static atomic_long ring_trust_refs;

struct sg_trust_issuer *sg_trust_issuer_ref(struct sg_trust_issuer *issuer)
{
    (void)atomic_fetch_add(&ring_trust_refs, 1);
    return issuer;
}

void sg_trust_issuer_unref(struct sg_trust_issuer *issuer)
{
    if (issuer != NULL) {
        (void)atomic_fetch_sub(&ring_trust_refs, 1);
    }
}

long ring_num_trust_refs(void)
{
    return atomic_load(&ring_trust_refs);
}
