/* SPDX-License-Identifier: Apache-2.0
 *
 * What OpenSSL itself does on this machine, used as well as we know how: contexts are kept, keys are
 * loaded once. The measure for the daemon's own figures.
 *
 *     bench_crypto SECONDS THREADS      prints "NAME OPERATIONS_PER_SECOND" a line
 */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CRYPTO_MAX_THREADS 64
#define CRYPTO_INPUT_LEN   300 /* about what a token's signing input is */

/* One thread's state for one operation. */
struct crypto_worker {
    const struct crypto_case *what;
    EVP_PKEY *key;       /* shared, read-only; NULL for HMAC */
    EVP_MAC_CTX *mac;    /* HMAC */
    EVP_MD_CTX *message; /* Ed25519, which has no digest of its own */
    EVP_PKEY_CTX *sign;
    EVP_PKEY_CTX *verify;
    uint8_t signature[1024];
    size_t signature_len;
    uint64_t num_done;
    bool failed;
};

struct crypto_case {
    const char *name;
    const char *type; /* "HMAC", or a key type of EVP_PKEY_Q_keygen */
    bool pss;
    bool verify;
};

static const struct crypto_case crypto_cases[] = {
    {"hs256", "HMAC", false, false},          {"es256-sign", "EC", false, false},
    {"es256-verify", "EC", false, true},      {"rs256-sign", "RSA", false, false},
    {"rs256-verify", "RSA", false, true},     {"ps256-sign", "RSA", true, false},
    {"ps256-verify", "RSA", true, true},      {"eddsa-sign", "ED25519", false, false},
    {"eddsa-verify", "ED25519", false, true},
};

static atomic_bool crypto_stop;
static const uint8_t crypto_input[CRYPTO_INPUT_LEN] = "eyJhbGciOi";

static EVP_PKEY *crypto_key(const struct crypto_case *what)
{
    if (strcmp(what->type, "RSA") == 0) {
        return EVP_RSA_gen(2048);
    }
    if (strcmp(what->type, "EC") == 0) {
        return EVP_EC_gen("P-256");
    }
    return strcmp(what->type, "ED25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : NULL;
}

static bool crypto_configure(const struct crypto_worker *worker, EVP_PKEY_CTX *context)
{
    if (EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) != 1) {
        return false;
    }
    if (strcmp(worker->what->type, "RSA") != 0) {
        return true;
    }
    if (!worker->what->pss) {
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    }
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool crypto_sign(struct crypto_worker *worker)
{
    worker->signature_len = sizeof(worker->signature);
    if (worker->mac != NULL) {
        return EVP_MAC_init(worker->mac, NULL, 0, NULL) == 1 &&
               EVP_MAC_update(worker->mac, crypto_input, sizeof(crypto_input)) == 1 &&
               EVP_MAC_final(worker->mac, worker->signature, &worker->signature_len,
                             sizeof(worker->signature)) == 1;
    }
    if (worker->message != NULL) {
        return EVP_DigestSignInit(worker->message, NULL, NULL, NULL, worker->key) == 1 &&
               EVP_DigestSign(worker->message, worker->signature, &worker->signature_len,
                              crypto_input, sizeof(crypto_input)) == 1;
    }
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    return EVP_Digest(crypto_input, sizeof(crypto_input), digest, &digest_len, EVP_sha256(),
                      NULL) == 1 &&
           EVP_PKEY_sign(worker->sign, worker->signature, &worker->signature_len, digest,
                         digest_len) == 1;
}

static bool crypto_verify(struct crypto_worker *worker)
{
    if (worker->message != NULL) {
        return EVP_DigestVerifyInit(worker->message, NULL, NULL, NULL, worker->key) == 1 &&
               EVP_DigestVerify(worker->message, worker->signature, worker->signature_len,
                                crypto_input, sizeof(crypto_input)) == 1;
    }
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    return EVP_Digest(crypto_input, sizeof(crypto_input), digest, &digest_len, EVP_sha256(),
                      NULL) == 1 &&
           EVP_PKEY_verify(worker->verify, worker->signature, worker->signature_len, digest,
                           digest_len) == 1;
}

/* Contexts, and one signature to verify. */
static bool crypto_prepare(struct crypto_worker *worker)
{
    if (strcmp(worker->what->type, "HMAC") == 0) {
        EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
        char digest[] = "SHA256";
        const OSSL_PARAM parameters[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
            OSSL_PARAM_construct_end()};
        static const uint8_t secret[32] = {1};
        worker->mac = EVP_MAC_CTX_new(mac);
        EVP_MAC_free(mac);
        return worker->mac != NULL &&
               EVP_MAC_init(worker->mac, secret, sizeof(secret), parameters) == 1;
    }
    if (strcmp(worker->what->type, "ED25519") == 0) {
        worker->message = EVP_MD_CTX_new();
        return worker->message != NULL && crypto_sign(worker);
    }
    worker->sign = EVP_PKEY_CTX_new(worker->key, NULL);
    worker->verify = EVP_PKEY_CTX_new(worker->key, NULL);
    return worker->sign != NULL && worker->verify != NULL &&
           EVP_PKEY_sign_init(worker->sign) == 1 && crypto_configure(worker, worker->sign) &&
           EVP_PKEY_verify_init(worker->verify) == 1 && crypto_configure(worker, worker->verify) &&
           crypto_sign(worker);
}

static void *crypto_run(void *argument)
{
    struct crypto_worker *worker = argument;
    worker->failed = !crypto_prepare(worker);
    while (!worker->failed && !atomic_load_explicit(&crypto_stop, memory_order_relaxed)) {
        worker->failed = worker->what->verify ? !crypto_verify(worker) : !crypto_sign(worker);
        worker->num_done++;
    }
    EVP_MAC_CTX_free(worker->mac);
    EVP_MD_CTX_free(worker->message);
    EVP_PKEY_CTX_free(worker->sign);
    EVP_PKEY_CTX_free(worker->verify);
    return NULL;
}

static double crypto_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Operations per second by num threads together; negative on failure. */
static double crypto_measure(const struct crypto_case *what, double seconds, size_t num)
{
    struct crypto_worker workers[CRYPTO_MAX_THREADS];
    pthread_t threads[CRYPTO_MAX_THREADS];
    EVP_PKEY *key = crypto_key(what);
    size_t started = 0;

    atomic_store(&crypto_stop, false);
    double begin = crypto_now();
    for (; started < num; started++) {
        workers[started] = (struct crypto_worker){.what = what, .key = key};
        if (pthread_create(&threads[started], NULL, crypto_run, &workers[started]) != 0) {
            break;
        }
    }
    const struct timespec pause = {(time_t)seconds,
                                   (long)((seconds - (double)(time_t)seconds) * 1e9)};
    (void)nanosleep(&pause, NULL);
    atomic_store(&crypto_stop, true);

    bool failed = started < num;
    uint64_t total = 0;
    for (size_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
        failed = failed || workers[i].failed;
        total += workers[i].num_done;
    }
    double took = crypto_now() - begin;
    EVP_PKEY_free(key);
    return failed ? -1 : (double)total / took;
}

int main(int argc, char **argv)
{
    double seconds = argc == 3 ? strtod(argv[1], NULL) : 0;
    unsigned long threads = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (seconds <= 0 || threads < 1 || threads > CRYPTO_MAX_THREADS) {
        (void)fprintf(stderr, "usage: %s SECONDS THREADS\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < sizeof(crypto_cases) / sizeof(crypto_cases[0]); i++) {
        double rate = crypto_measure(&crypto_cases[i], seconds, threads);
        if (rate < 0) {
            (void)fprintf(stderr, "%s failed\n", crypto_cases[i].name);
            return 1;
        }
        (void)printf("%s %.0f\n", crypto_cases[i].name, rate);
    }
    return 0;
}
