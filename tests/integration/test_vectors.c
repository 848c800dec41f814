/* SPDX-License-Identifier: Apache-2.0
 *
 * Every vector file of a folder, SIGNET_VECTORS or ../shared/vectors beside the sources, whatever its
 * files are called: the content tells the schema. Prints a line a file. A file of no known schema is
 * named, never passed over in silence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/keyholder/keyholder.h"
#include "tests/integration/vectors.h"
#include "tests/support/files.h"

#define VECTORS_SKIP      77
#define VECTORS_MAX_FILES 512u
#define VECTORS_MAX_PATH  512u

static const char *vectors_folder;

/* ---- For the modules ---- */

const char *vectors_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool vectors_is_as(enum vectors_expected expected, struct sg_verdict got)
{
    return (expected == VECTORS_ACCEPT) == (got.reason == SIGNET_REASON_NONE);
}

void vectors_judge(struct vectors_file *file, const char *id, enum vectors_expected expected,
                   struct sg_verdict got)
{
    file->count.cases++;
    if (vectors_is_as(expected, got)) {
        file->count.passed++;
        return;
    }
    file->count.failed++;
    (void)printf("  MISMATCH %s: %s: expected %s, got %s%s%s\n", file->path,
                 id != NULL ? id : "(no id)", expected == VECTORS_ACCEPT ? "accept" : "reject",
                 got.reason == SIGNET_REASON_NONE ? "accept" : signet_reason_name(got.reason),
                 got.detail != NULL ? ": " : "", got.detail != NULL ? got.detail : "");
}

void vectors_choice(struct vectors_file *file, enum vectors_expected advised, struct sg_verdict got)
{
    file->count.cases++;
    if (vectors_is_as(advised, got)) {
        file->count.choice_agree++;
    } else {
        file->count.choice_differ++;
    }
}

static void vectors_print(const char *name, const struct vectors_count *count)
{
    (void)printf("%-52s cases %4zu  passed %4zu  failed %zu  choice %zu/%zu agree/differ  "
                 "not applicable %zu\n",
                 name, count->cases, count->passed, count->failed, count->choice_agree,
                 count->choice_differ, count->not_applicable);
}

/* ---- Files ---- */

struct vectors_list {
    char paths[VECTORS_MAX_FILES][VECTORS_MAX_PATH]; /* within the folder */
    size_t num;
};

static int vectors_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void vectors_full_path(const char *path, char out[2 * VECTORS_MAX_PATH])
{
    (void)snprintf(out, 2 * VECTORS_MAX_PATH, "%s/%s", vectors_folder, path);
}

/* Adds what is in one directory; directories come back in the list, to be opened in their turn. */
static void vectors_list_one(struct vectors_list *list, const char *directory)
{
    char full[2 * VECTORS_MAX_PATH];
    vectors_full_path(directory, full);
    DIR *dir = opendir(full);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            assert_true(list->num < VECTORS_MAX_FILES);
            int len = snprintf(list->paths[list->num++], VECTORS_MAX_PATH, "%s%s%s", directory,
                               directory[0] != '\0' ? "/" : "", entry->d_name);
            assert_true(len > 0 && (size_t)len < VECTORS_MAX_PATH);
        }
    }
    (void)closedir(dir);
}

static bool vectors_is_directory(const char *path)
{
    char full[2 * VECTORS_MAX_PATH];
    struct stat info;
    vectors_full_path(path, full);
    return stat(full, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool vectors_is_json(const char *path)
{
    size_t len = strlen(path);
    return len > 5 && strcmp(path + len - 5, ".json") == 0;
}

/* The errata beside a file: any file of its directory with an "errata" array. */
static json_t *vectors_errata(const struct vectors_list *list, const char *path)
{
    size_t directory_len = strrchr(path, '/') != NULL ? (size_t)(strrchr(path, '/') - path) + 1 : 0;
    for (size_t i = 0; i < list->num; i++) {
        const char *other = list->paths[i];
        char full[2 * VECTORS_MAX_PATH];
        if (strncmp(other, path, directory_len) != 0 || strstr(other, "ERRATA") == NULL ||
            strchr(other + directory_len, '/') != NULL || !vectors_is_json(other)) {
            continue;
        }
        vectors_full_path(other, full);
        json_t *root = json_load_file(full, 0, NULL);
        json_t *errata = json_incref(json_object_get(root, "errata"));
        json_decref(root);
        if (errata != NULL) {
            return errata;
        }
    }
    return NULL;
}

/* An empty file stands for a key that is none. */
static void vectors_run_empty(struct vectors_file *file)
{
    struct sg_jwk *jwk = NULL;
    struct sg_key_error error;
    signet_status status = sg_jwk_parse("", 0, SG_ALG_UNSET, SG_JWK_PUBLIC, &jwk, &error);
    vectors_judge(file, "empty", VECTORS_REJECT,
                  (struct sg_verdict){.reason = status == SIGNET_OK ? SIGNET_REASON_NONE
                                                                    : SIGNET_REASON_MALFORMED});
    sg_jwk_free(jwk);
}

static bool vectors_run_known(struct vectors_file *file)
{
    return json_object_get(file->root, "errata") != NULL || vectors_run_jwt(file) ||
           vectors_run_wycheproof(file) || vectors_run_rfc(file) || vectors_run_jwk(file);
}

static void vectors_run_file(const struct vectors_list *list, const char *path,
                             struct sg_keyholder *keyholder, struct vectors_count *total)
{
    char full[2 * VECTORS_MAX_PATH];
    size_t len = 0;
    vectors_full_path(path, full);
    char *text = test_read_file(full, &len);
    assert_non_null(text);
    json_t *root = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
    json_t *errata = vectors_errata(list, path);
    struct vectors_file file = {
        .path = path, .root = root, .errata = errata, .keyholder = keyholder};
    bool known = true;
    if (len == 0) {
        vectors_run_empty(&file);
    } else {
        known = vectors_run_known(&file);
    }
    if (!known) {
        (void)printf("%-52s UNKNOWN SCHEMA, in all or in part; not run\n", path);
    }
    if (file.count.cases != 0) {
        vectors_print(path, &file.count);
    }
    total->cases += file.count.cases;
    total->passed += file.count.passed;
    total->failed += file.count.failed;
    total->choice_agree += file.count.choice_agree;
    total->choice_differ += file.count.choice_differ;
    total->not_applicable += file.count.not_applicable;
    json_decref(errata);
    json_decref(root);
    free(text);
}

static void test_vectors__every_case_comes_out_as_expected(void **state)
{
    (void)state;
    struct vectors_list *list = calloc(1, sizeof(*list));
    struct sg_keyholder *keyholder = NULL;
    struct vectors_count total = {0};
    assert_non_null(list);
    assert_int_equal(sg_keyholder_new(1, &keyholder), SIGNET_OK);
    vectors_list_one(list, "");
    for (size_t i = 0; i < list->num; i++) {
        if (vectors_is_directory(list->paths[i])) {
            vectors_list_one(list, list->paths[i]);
        }
    }
    qsort(list->paths, list->num, sizeof(list->paths[0]), vectors_compare);
    for (size_t i = 0; i < list->num; i++) {
        if (vectors_is_json(list->paths[i]) && !vectors_is_directory(list->paths[i])) {
            vectors_run_file(list, list->paths[i], keyholder, &total);
        }
    }
    vectors_print("total", &total);
    sg_keyholder_free(keyholder);
    free(list);
    assert_int_equal(total.failed, 0);
    assert_true(total.passed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors__every_case_comes_out_as_expected),
    };
    struct stat info;
    vectors_folder = getenv("SIGNET_VECTORS");
    if (vectors_folder == NULL || vectors_folder[0] == '\0') {
        vectors_folder = SG_SOURCE_DIR "/../shared/vectors";
    }
    if (stat(vectors_folder, &info) != 0 || !S_ISDIR(info.st_mode)) {
        (void)printf("skipped: no vectors at %s; set SIGNET_VECTORS to a folder of them\n",
                     vectors_folder);
        return VECTORS_SKIP;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
