/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit after kills: all jti that it has, in order, and then each token's looked for.
 */
#include "tests/integration/kills_audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka.h needs these and one of the header's. */
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/limits.h"
#include "tests/support/files.h"

#define KILLS_JTI_LEN     22u
#define KILLS_JTI_BEFORE  "\"jti\":\""
#define KILLS_SIGN_RECORD "\"event\":\"sign\""

struct kills_jtis {
    char (*list)[KILLS_JTI_LEN + 1];
    size_t num, cap;
};

static int kills_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The jti in a text up to its end; false if there is none. */
static bool kills_find_jti(const char *text, char out[KILLS_JTI_LEN + 1])
{
    const char *at = strstr(text, KILLS_JTI_BEFORE);
    if (at == NULL || strlen(at) < sizeof(KILLS_JTI_BEFORE) - 1 + KILLS_JTI_LEN) {
        return false;
    }
    memcpy(out, at + sizeof(KILLS_JTI_BEFORE) - 1, KILLS_JTI_LEN);
    out[KILLS_JTI_LEN] = '\0';
    return true;
}

static void kills_read_line(char *line, struct kills_jtis *jtis)
{
    if (strstr(line, KILLS_SIGN_RECORD) == NULL) {
        return;
    }
    if (jtis->num == jtis->cap) {
        jtis->cap = jtis->cap > 0 ? 2 * jtis->cap : 4096;
        jtis->list = realloc(jtis->list, jtis->cap * sizeof(*jtis->list));
        assert_non_null(jtis->list);
    }
    assert_true(kills_find_jti(line, jtis->list[jtis->num]));
    jtis->num++;
}

static void kills_read_file(const char *path, struct kills_jtis *jtis)
{
    char *text = test_read_file(path, NULL);
    assert_non_null(text);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        kills_read_line(line, jtis);
    }
    free(text);
}

static void kills_read_dir(const char *path, struct kills_jtis *jtis)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the directory is this thread's. */
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char file[512];
        if (strncmp(entry->d_name, "audit-", 6) == 0) {
            (void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
            kills_read_file(file, jtis);
        }
    }
    (void)closedir(dir);
}

static void kills_jti_of(const char *token, char out[KILLS_JTI_LEN + 1])
{
    uint8_t payload[SG_MAX_TOKEN_LEN];
    size_t len = 0;
    const char *begin = strchr(token, '.');
    assert_non_null(begin);
    begin++;
    assert_true(
        sg_base64url_decode(begin, strcspn(begin, "."), payload, sizeof(payload) - 1, &len));
    payload[len] = '\0';
    assert_true(kills_find_jti((const char *)payload, out));
}

void kills_audit_check(const struct test_keyed_daemon *keyed, size_t num,
                       const char *(*token_at)(size_t index))
{
    char dir[256];
    struct kills_jtis jtis = {0};
    (void)snprintf(dir, sizeof(dir), "%s/audit", keyed->state_dir);
    const char *const verify[] = {"audit", "verify", "--dir", dir, NULL};
    char *said = test_keyed_daemon_run(keyed, verify, NULL);
    free(said);
    kills_read_dir(dir, &jtis);
    qsort(jtis.list, jtis.num, sizeof(*jtis.list), kills_compare);
    for (size_t i = 0; i < num; i++) {
        char jti[KILLS_JTI_LEN + 1];
        kills_jti_of(token_at(i), jti);
        if (bsearch(jti, jtis.list, jtis.num, sizeof(*jtis.list), kills_compare) == NULL) {
            fail_msg("token %s was acknowledged, and the audit has no record of it", jti);
        }
    }
    free(jtis.list);
}
