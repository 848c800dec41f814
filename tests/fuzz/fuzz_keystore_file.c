/* SPDX-License-Identifier: Apache-2.0
 *
 * The keystore's files: whatever bytes they hold, what is read stays in its bounds, what opens writes back
 * as itself, and what was read of a header writes back as the same bytes. The key that opens the corpus is
 * thirty-two times 0x5a.
 */
#include <openssl/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/keyholder/keystore_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t fuzz_key[SG_KEYSTORE_KEY_LEN];

static void fuzz_check(int holds)
{
    if (!holds) {
        abort();
    }
}

static void fuzz_check_record(const struct sg_key_record *record)
{
    fuzz_check(memchr(record->keyset, '\0', sizeof(record->keyset)) != NULL);
    fuzz_check(memchr(record->kid, '\0', sizeof(record->kid)) != NULL);
    fuzz_check(record->keyset[0] != '\0' && record->kid[0] != '\0');
    fuzz_check(sg_alg_info((enum sg_alg)record->alg) != NULL);
    fuzz_check(record->public_len <= sizeof(record->public_key));
}

static void fuzz_key_file(const uint8_t *data, size_t size)
{
    static uint8_t private_part[SG_KEYSTORE_MAX_PRIVATE];
    static uint8_t written[SG_KEYSTORE_MAX_FILE];
    struct sg_keystore_file file;
    struct sg_keystore_file again;
    char name[SG_MAX_KEYSET_NAME_LEN + 32];
    size_t len = 0;
    if (sg_keystore_file_parse(data, size, &file) != SIGNET_OK) {
        return;
    }
    fuzz_check_record(&file.record);
    fuzz_check(file.metadata_end + file.private_len + SG_KEYSTORE_TAG_LEN == size);
    fuzz_check(file.private_len <= sizeof(private_part));
    sg_keystore_name_write(file.record.keyset, file.record.seq, name, sizeof(name));
    if (sg_keystore_file_open(&file, name, fuzz_key, private_part) != SIGNET_OK) {
        for (size_t i = 0; i < file.private_len; i++) {
            fuzz_check(private_part[i] == 0);
        }
        return;
    }
    fuzz_check(sg_keystore_file_write(&file.record, name, file.key_id, fuzz_key, private_part,
                                      file.private_len, written, &len) == SIGNET_OK);
    fuzz_check(len == size);
    fuzz_check(sg_keystore_file_parse(written, len, &again) == SIGNET_OK);
    fuzz_check(memcmp(&file.record, &again.record, sizeof(file.record)) == 0);
    fuzz_check(sg_keystore_file_open(&again, "other.1.key", fuzz_key, private_part) != SIGNET_OK);
}

static void fuzz_header(const uint8_t *data, size_t size)
{
    static uint8_t written[SG_KEYSTORE_MAX_FILE];
    static struct sg_keystore_header header;
    uint8_t keys[SG_KEYSTORE_MAX_KEYS * SG_KEYSTORE_KEY_LEN];
    (void)sg_keystore_header_is_whole(data, size, fuzz_key);
    if (sg_keystore_header_read(data, size, &header) != SIGNET_OK) {
        return;
    }
    fuzz_check(sg_keystore_header_write(&header, written) == size);
    fuzz_check(memcmp(written, data, size) == 0);
    for (uint32_t i = 0; i < header.num_wraps; i++) {
        if (sg_keystore_header_unwrap(&header, i, fuzz_key, keys) == SIGNET_OK) {
            fuzz_check(sg_keystore_header_wrap(&header, i, fuzz_key, keys) == SIGNET_OK);
        }
    }
}

static void fuzz_name(const uint8_t *data, size_t size)
{
    char text[256];
    char keyset[SG_MAX_KEYSET_NAME_LEN + 1];
    char name[SG_MAX_KEYSET_NAME_LEN + 32];
    uint32_t seq = 0;
    if (size >= sizeof(text)) {
        return;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    if (sg_keystore_name_read(text, keyset, &seq)) {
        fuzz_check(seq != 0 && sg_keystore_name_is_keyset(keyset));
        fuzz_check(strchr(text, '/') == NULL);
        sg_keystore_name_write(keyset, seq, name, sizeof(name));
        fuzz_check(strcmp(name, text) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(fuzz_key, 0x5a, sizeof(fuzz_key));
    fuzz_key_file(data, size);
    fuzz_header(data, size);
    fuzz_name(data, size);
    fuzz_check(ERR_peek_error() == 0);
    return 0;
}
