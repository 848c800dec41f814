/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256: NIST's examples, whole and in pieces, and one message after another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/digest/digest.h"

/* FIPS 180-4's examples and the message of no bytes (NIST CAVP). */
static const struct {
    const char *text;
    uint8_t hash[SG_SHA256_LEN];
} digest_examples[] = {
    {"", {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
          0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
          0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}},
    {"abc", {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
             0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
             0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad}},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     {0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8, 0xe5, 0xc0, 0x26,
      0x93, 0x0c, 0x3e, 0x60, 0x39, 0xa3, 0x3c, 0xe4, 0x59, 0x64, 0xff,
      0x21, 0x67, 0xf6, 0xec, 0xed, 0xd4, 0x19, 0xdb, 0x06, 0xc1}},
};
#define NUM_EXAMPLES (sizeof(digest_examples) / sizeof(digest_examples[0]))

static void test_sha256__is_as_published(void **state)
{
    (void)state;
    uint8_t hash[SG_SHA256_LEN];
    for (size_t i = 0; i < NUM_EXAMPLES; i++) {
        const char *text = digest_examples[i].text;
        assert_int_equal(sg_sha256(text, strlen(text), hash), SIGNET_OK);
        assert_memory_equal(hash, digest_examples[i].hash, sizeof(hash));
    }
    assert_int_equal(sg_sha256(NULL, 0, hash), SIGNET_OK);
    assert_memory_equal(hash, digest_examples[0].hash, sizeof(hash));
}

static void test_sha256__is_the_same_in_pieces(void **state)
{
    (void)state;
    struct sg_sha256_state *digest = NULL;
    uint8_t hash[SG_SHA256_LEN];
    assert_int_equal(sg_sha256_state_new(&digest), SIGNET_OK);
    /* Each message begins anew, and some come in no piece at all. */
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < NUM_EXAMPLES; i++) {
            const char *text = digest_examples[i].text;
            for (size_t at = 0; at < strlen(text); at++) {
                assert_int_equal(sg_sha256_state_update(digest, text + at, 1), SIGNET_OK);
                assert_int_equal(sg_sha256_state_update(digest, NULL, 0), SIGNET_OK);
            }
            assert_int_equal(sg_sha256_state_final(digest, hash), SIGNET_OK);
            assert_memory_equal(hash, digest_examples[i].hash, sizeof(hash));
        }
    }
    sg_sha256_state_free(digest);
    sg_sha256_state_free(NULL);
}

static void test_sha256__of_a_changed_byte_is_another(void **state)
{
    (void)state;
    uint8_t hash[SG_SHA256_LEN];
    assert_int_equal(sg_sha256("abd", 3, hash), SIGNET_OK);
    assert_memory_not_equal(hash, digest_examples[1].hash, sizeof(hash));
    assert_int_equal(sg_sha256("abc", 4, hash), SIGNET_OK);
    assert_memory_not_equal(hash, digest_examples[1].hash, sizeof(hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256__is_as_published),
        cmocka_unit_test(test_sha256__is_the_same_in_pieces),
        cmocka_unit_test(test_sha256__of_a_changed_byte_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
