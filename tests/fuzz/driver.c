/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a fuzz target without libFuzzer, in the ordinary test run: every file of the directories
 * given, and with -m COUNT also that many changed copies of them, the same ones in every run.
 * What is a fault is for the target and the sanitizers to say; no input at all is one too.
 *
 *     fuzz_NAME [-m COUNT] DIRECTORY ...
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DRIVER_MAX_INPUTS 4096
#define DRIVER_MAX_LEN    (1u << 20)
#define DRIVER_MAX_EDITS  8u

struct driver_input {
    uint8_t *bytes;
    size_t len;
};

static struct {
    struct driver_input inputs[DRIVER_MAX_INPUTS];
    size_t num;
} driver_corpus;

/* ---- The corpus ---- */

static bool driver_add(const char *path)
{
    FILE *file = fopen(path, "re");
    uint8_t *room = malloc(DRIVER_MAX_LEN);
    if (file == NULL || room == NULL || driver_corpus.num == DRIVER_MAX_INPUTS) {
        (void)fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        free(room);
        if (file != NULL) {
            (void)fclose(file);
        }
        return false;
    }
    size_t len = fread(room, 1, DRIVER_MAX_LEN, file);
    (void)fclose(file);

    /* Of exactly its length, so that a sanitizer sees one byte too many being read. */
    uint8_t *bytes = realloc(room, len > 0 ? len : 1);
    driver_corpus.inputs[driver_corpus.num++] =
        (struct driver_input){bytes != NULL ? bytes : room, len};
    return true;
}

static bool driver_add_directory(const char *path)
{
    struct dirent **entries;
    int num = scandir(path, &entries, NULL, alphasort); /* sorted: every run is the same */
    if (num < 0) {
        (void)fprintf(stderr, "cannot read the directory %s: %s\n", path, strerror(errno));
        return false;
    }
    bool good = true;
    for (int i = 0; i < num; i++) {
        char file[4096];
        int len = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && good) {
            good = len > 0 && (size_t)len < sizeof(file) && driver_add(file);
        }
        free(entries[i]);
    }
    free(entries);
    return good;
}

/* ---- Changed copies ---- */

/* xorshift64*: small, and the same everywhere. */
static uint32_t driver_random(uint64_t *state, size_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    uint64_t high = (*state * 0x2545F4914F6CDD1Du) >> 32;
    return (uint32_t)(high % (below > 0 ? below : 1));
}

enum driver_edit {
    DRIVER_FLIP,   /* one bit */
    DRIVER_SET,    /* one byte, to one that parsers care about */
    DRIVER_CUT,    /* the end */
    DRIVER_REMOVE, /* some bytes */
    DRIVER_REPEAT, /* some bytes once more, in place of what follows */
    DRIVER_SPLICE, /* some bytes of another input, in place of these */
    DRIVER_NUM_EDITS
};

static void driver_edit(uint8_t *bytes, size_t *len, uint64_t *random)
{
    static const uint8_t special[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '.', '"', '{', '}', '[', ']',
                                      '\\', ',',  ':',  '=',  '-',  '+', '/', '_', '0', 'e'};
    size_t at = driver_random(random, *len);
    size_t run = 1 + driver_random(random, *len - at < 64 ? *len - at : 64);
    switch ((enum driver_edit)driver_random(random, DRIVER_NUM_EDITS)) {
    case DRIVER_FLIP:
        bytes[at] ^= (uint8_t)(1u << driver_random(random, 8));
        break;
    case DRIVER_SET:
        bytes[at] = special[driver_random(random, sizeof(special))];
        break;
    case DRIVER_CUT:
        *len = at > 0 ? at : 1;
        break;
    case DRIVER_REMOVE:
        if (run < *len - at) {
            memmove(bytes + at, bytes + at + run, *len - at - run);
            *len -= run;
        }
        break;
    case DRIVER_REPEAT:
        if (run <= (*len - at) / 2) {
            memcpy(bytes + at + run, bytes + at, run);
        }
        break;
    case DRIVER_SPLICE:
    case DRIVER_NUM_EDITS: {
        const struct driver_input *other =
            &driver_corpus.inputs[driver_random(random, driver_corpus.num)];
        if (run <= *len - at && run <= other->len) {
            memcpy(bytes + at, other->bytes + driver_random(random, other->len - run + 1), run);
        }
        break;
    }
    }
}

static bool driver_run_changed(size_t count)
{
    uint64_t random = 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < count; i++) {
        const struct driver_input *input = &driver_corpus.inputs[i % driver_corpus.num];
        if (input->len == 0) {
            continue;
        }
        uint8_t *bytes = malloc(input->len);
        if (bytes == NULL) {
            return false;
        }
        memcpy(bytes, input->bytes, input->len);
        size_t len = input->len;
        for (uint32_t edits = 1 + driver_random(&random, DRIVER_MAX_EDITS); edits > 0; edits--) {
            driver_edit(bytes, &len, &random);
        }
        uint8_t *exact = realloc(bytes, len);
        bytes = exact != NULL ? exact : bytes;
        (void)LLVMFuzzerTestOneInput(bytes, len);
        free(bytes);
    }
    return true;
}

static int driver_usage(const char *program)
{
    (void)fprintf(stderr, "usage: %s [-m COUNT] DIRECTORY ...\n", program);
    return 2;
}

int main(int argc, char **argv)
{
    size_t num_changed = 0;
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "-m") == 0) {
        char *end = NULL;
        num_changed = strtoul(argv[2], &end, 10);
        if (*end != '\0') {
            return driver_usage(argv[0]);
        }
        first = 3;
    }
    if (first >= argc) {
        return driver_usage(argv[0]);
    }

    bool good = true;
    for (int i = first; i < argc && good; i++) {
        good = driver_add_directory(argv[i]);
    }
    if (good && driver_corpus.num == 0) {
        (void)fprintf(stderr, "there is no input in %s\n", argv[first]);
        good = false;
    }
    for (size_t i = 0; good && i < driver_corpus.num; i++) {
        (void)LLVMFuzzerTestOneInput(driver_corpus.inputs[i].bytes, driver_corpus.inputs[i].len);
    }
    good = good && driver_run_changed(num_changed);
    if (good) {
        (void)printf("%zu inputs, %zu changed copies\n", driver_corpus.num, num_changed);
    }

    for (size_t i = 0; i < driver_corpus.num; i++) {
        free(driver_corpus.inputs[i].bytes);
    }
    return good ? 0 : 1;
}
