/* SPDX-License-Identifier: Apache-2.0
 *
 * Verification in the caller's process against what OpenSSL alone takes for the same signature, used as in bench_crypto:
 * contexts are kept, and nothing but the signature is looked at. Both take turns in one thread, and its processor time
 * is what counts, so that what else runs here matters little.
 *
 *     local_load SECONDS [KEYS [REVOCATIONS]]
 *
 * prints for each algorithm "ALG-raw VERIFICATIONS_PER_SECOND", "ALG-local VERIFICATIONS_PER_SECOND" and "ALG-ratio
 * RATIO", a line each, and "generation CALLS_PER_SECOND": what a hit of the cache has to ask. KEYS more are on the board
 * (0), and so many REVOCATIONS (0).
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/unit/local_fixture.h"

#define BENCH_TURN 64u /* calls until it is the other's turn */

static const struct signet_verify_options bench_options = {.any_audience = true};

struct bench_case {
    struct jose_key key;
    char kid[8];
    char token[JOSE_TOKEN_CAP];
    size_t signed_len;
    uint8_t signature[SG_MAX_SIGNATURE_LEN]; /* as OpenSSL has it */
    size_t signature_len;
    EVP_PKEY_CTX *verify;
    EVP_MD_CTX *message; /* EdDSA */
};

static const struct {
    enum sg_alg alg;
    const char *name;
} bench_algs[] = {{SG_ALG_RS256, "rs256"},
                  {SG_ALG_PS256, "ps256"},
                  {SG_ALG_ES256, "es256"},
                  {SG_ALG_ED25519, "eddsa"}};
#define BENCH_NUM_ALGS (sizeof(bench_algs) / sizeof(bench_algs[0]))

static struct bench_case bench_cases[BENCH_NUM_ALGS];

static double bench_cpu(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void bench_fail(const char *what)
{
    (void)fprintf(stderr, "local_load: %s\n", what);
    exit(1);
}

static uint64_t bench_boot_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- OpenSSL alone ---- */

static bool bench_configure(const struct bench_case *bench, EVP_PKEY_CTX *context)
{
    bool is_rsa = bench->key.alg == SG_ALG_RS256 || bench->key.alg == SG_ALG_PS256;
    bool is_pss = bench->key.alg == SG_ALG_PS256;
    return EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
           (!is_rsa || EVP_PKEY_CTX_set_rsa_padding(context, is_pss ? RSA_PKCS1_PSS_PADDING
                                                                    : RSA_PKCS1_PADDING) == 1) &&
           (!is_pss || EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1);
}

static bool bench_sign(struct bench_case *bench)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    bench->signature_len = sizeof(bench->signature);
    if (bench->key.alg == SG_ALG_ED25519) {
        bench->message = EVP_MD_CTX_new();
        return EVP_DigestSignInit(bench->message, NULL, NULL, NULL, bench->key.pkey) == 1 &&
               EVP_DigestSign(bench->message, bench->signature, &bench->signature_len,
                              (const uint8_t *)bench->token, bench->signed_len) == 1;
    }
    EVP_PKEY_CTX *sign = EVP_PKEY_CTX_new(bench->key.pkey, NULL);
    bench->verify = EVP_PKEY_CTX_new(bench->key.pkey, NULL);
    bool is_done =
        EVP_PKEY_sign_init(sign) == 1 && bench_configure(bench, sign) &&
        EVP_PKEY_verify_init(bench->verify) == 1 && bench_configure(bench, bench->verify) &&
        EVP_Digest(bench->token, bench->signed_len, digest, &digest_len, EVP_sha256(), NULL) == 1 &&
        EVP_PKEY_sign(sign, bench->signature, &bench->signature_len, digest, digest_len) == 1;
    EVP_PKEY_CTX_free(sign);
    return is_done;
}

static bool bench_raw(const struct bench_case *bench)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (bench->message != NULL) {
        return EVP_DigestVerifyInit(bench->message, NULL, NULL, NULL, bench->key.pkey) == 1 &&
               EVP_DigestVerify(bench->message, bench->signature, bench->signature_len,
                                (const uint8_t *)bench->token, bench->signed_len) == 1;
    }
    return EVP_Digest(bench->token, bench->signed_len, digest, &digest_len, EVP_sha256(), NULL) ==
               1 &&
           EVP_PKEY_verify(bench->verify, bench->signature, bench->signature_len, digest,
                           digest_len) == 1;
}

/* ---- The board ---- */

static void bench_make_case(size_t index)
{
    struct bench_case *bench = &bench_cases[index];
    char header[96];
    jose_key_new(&bench->key, bench_algs[index].alg);
    (void)snprintf(bench->kid, sizeof(bench->kid), "k%zu", index);
    (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                   sg_alg_info(bench->key.alg)->jws_name, bench->kid);
    jose_token(&bench->key, header,
               "{\"iss\":\"" LOCAL_ISSUER "\",\"sub\":\"bench\",\"aud\":\"signet-bench\","
               "\"iat\":1799999990,\"nbf\":1799999990,\"exp\":1800000900,"
               "\"jti\":\"ZZRiYzH1edzx-B-VuDe3XQ\"}",
               bench->token);
    bench->signed_len = (size_t)(strrchr(bench->token, '.') - bench->token);
    if (!bench_sign(bench)) {
        bench_fail("OpenSSL does not sign");
    }
}

static void bench_publish(struct local_fixture *fixture, size_t num_more)
{
    struct sg_board_key *keys = calloc(BENCH_NUM_ALGS + num_more, sizeof(*keys));
    char(*kids)[32] = calloc(num_more + 1, sizeof(*kids));
    if (keys == NULL || kids == NULL) {
        bench_fail("no memory");
    }
    for (size_t i = 0; i < BENCH_NUM_ALGS; i++) {
        keys[i] = local_record("bench", bench_cases[i].kid, bench_cases[i].key.alg,
                               bench_cases[i].key.public);
    }
    for (size_t i = 0; i < num_more; i++) {
        (void)snprintf(kids[i], sizeof(kids[i]), "other-%zu", i);
        keys[BENCH_NUM_ALGS + i] = keys[BENCH_NUM_ALGS - 1];
        keys[BENCH_NUM_ALGS + i].kid = local_text(kids[i]);
    }
    local_publish(fixture, keys, BENCH_NUM_ALGS + num_more);
    free(kids);
    free(keys);
}

/* With the clock that a program would have. */
static void bench_open(struct local_fixture *fixture)
{
    const struct sg_local_config config = {.path = fixture->path,
                                           .owner = geteuid(),
                                           .max_age_ms = 60000,
                                           .read_boot_ms = bench_boot_ms};
    sg_board_writer_beat(fixture->writer, bench_boot_ms());
    if (sg_local_new(&config, &fixture->local) != SIGNET_OK) {
        bench_fail("no memory");
    }
}

/* ---- Measuring ---- */

static bool bench_local(const struct local_fixture *fixture, const struct bench_case *bench)
{
    struct sg_local_answer answer = {.outcome = SG_LOCAL_ASK};
    sg_local_ops.verify(fixture->local, bench->token, strlen(bench->token), &bench_options,
                        LOCAL_NOW, &answer);
    local_release(&answer);
    return answer.outcome == SG_LOCAL_GOOD;
}

static void bench_measure(const struct local_fixture *fixture, size_t index, double seconds)
{
    const struct bench_case *bench = &bench_cases[index];
    const char *name = bench_algs[index].name;
    double raw_s = 0;
    double local_s = 0;
    double num = 0;
    bool is_good = bench_local(fixture, bench); /* its key is read now */
    for (; is_good && raw_s + local_s < seconds; num += BENCH_TURN) {
        sg_board_writer_beat(fixture->writer, bench_boot_ms());
        double begin = bench_cpu();
        for (unsigned i = 0; is_good && i < BENCH_TURN; i++) {
            is_good = bench_raw(bench);
        }
        double middle = bench_cpu();
        for (unsigned i = 0; is_good && i < BENCH_TURN; i++) {
            is_good = bench_local(fixture, bench);
        }
        local_s += bench_cpu() - middle;
        raw_s += middle - begin;
    }
    if (!is_good) {
        bench_fail("a token is not good");
    }
    (void)printf("%s-raw %.0f\n%s-local %.0f\n%s-ratio %.3f\n", name, num / raw_s, name,
                 num / local_s, name, raw_s / local_s);
}

static void bench_measure_generation(const struct local_fixture *fixture, double seconds)
{
    double begin = bench_cpu();
    double taken = 0;
    double num = 0;
    uint64_t generation = 0;
    for (; taken < seconds; taken = bench_cpu() - begin) {
        for (unsigned i = 0; i < 1000; i++) {
            if (!sg_local_ops.generation(fixture->local, &generation)) {
                bench_fail("there is no board");
            }
        }
        num += 1000;
        sg_board_writer_beat(fixture->writer, bench_boot_ms());
    }
    (void)printf("generation %.0f\n", num / taken);
}

int main(int argc, char **argv)
{
    struct local_fixture fixture;
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0;
    size_t num_keys = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    size_t num_revocations = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (seconds <= 0 || argc > 4) {
        (void)fprintf(stderr, "usage: %s SECONDS [KEYS [REVOCATIONS]]\n", argv[0]);
        return 2;
    }
    local_setup(&fixture);
    for (size_t i = 0; i < BENCH_NUM_ALGS; i++) {
        bench_make_case(i);
    }
    for (size_t i = 0; i < num_revocations; i++) {
        char jti[32];
        (void)snprintf(jti, sizeof(jti), "token-%zu", i);
        local_revoke(&fixture, SG_BOARD_TOKEN, LOCAL_ISSUER, jti, LOCAL_NOW + 1000);
    }
    bench_publish(&fixture, num_keys);
    bench_open(&fixture);
    for (size_t i = 0; i < BENCH_NUM_ALGS; i++) {
        bench_measure(&fixture, i, seconds);
    }
    bench_measure_generation(&fixture, seconds);
    for (size_t i = 0; i < BENCH_NUM_ALGS; i++) {
        EVP_PKEY_CTX_free(bench_cases[i].verify);
        EVP_MD_CTX_free(bench_cases[i].message);
        jose_key_free(&bench_cases[i].key);
    }
    local_teardown(&fixture);
    return 0;
}
