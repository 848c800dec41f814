/* SPDX-License-Identifier: Apache-2.0
 *
 * Watching the directory of foreign issuers: which there are, and whether their files are others than
 * before. What is in the files is judged in trust_file.c.
 */
#include "server/trust.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/config.h"
#include "server/trust_file.h"

#define TRUST_SUFFIX ".yaml"

/* ---- Issuers ---- */

/* The count stands behind what others see. */
struct trust_counted {
    struct sg_trust_issuer issuer;
    atomic_uint num_refs;
};

struct sg_trust_issuer *sg_trust_issuer_new(const char *name)
{
    struct trust_counted *counted = calloc(1, sizeof(*counted));
    if (counted == NULL) {
        return NULL;
    }
    counted->issuer.keys = calloc(SG_TRUST_MAX_KEYS, sizeof(*counted->issuer.keys));
    if (counted->issuer.keys == NULL) {
        free(counted);
        return NULL;
    }
    (void)snprintf(counted->issuer.name, sizeof(counted->issuer.name), "%s", name);
    atomic_init(&counted->num_refs, 1);
    return &counted->issuer;
}

struct sg_trust_issuer *sg_trust_issuer_ref(struct sg_trust_issuer *issuer)
{
    struct trust_counted *counted = (struct trust_counted *)issuer;
    (void)atomic_fetch_add_explicit(&counted->num_refs, 1, memory_order_relaxed);
    return issuer;
}

void sg_trust_issuer_unref(struct sg_trust_issuer *issuer)
{
    struct trust_counted *counted = (struct trust_counted *)issuer;
    if (issuer == NULL ||
        atomic_fetch_sub_explicit(&counted->num_refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < issuer->num_keys; i++) {
        sg_public_key_free(issuer->keys[i].public_key);
    }
    free(issuer->keys);
    free(counted);
}

/* ---- Entries ---- */

/* One NAME.yaml. */
struct trust_entry {
    char name[SG_MAX_KEYSET_NAME_LEN + 1];
    struct sg_trust_issuer *good; /* as it was last given out; NULL: never yet */
    struct sg_trust_issuer *next; /* read since, to take good's place; NULL: nothing new */
    bool is_used;                 /* good is given out */
    bool is_seen;                 /* in the present look at the directory */
    bool is_read;                 /* files tells what was read */
    bool is_settled;              /* and was read twice */
    struct sg_trust_files files;
    char conflict[SG_TRUST_MAX_LINE]; /* why what was read may not be given out; empty: it may */
    /* The last complaints of both kinds; empty: it is right. */
    char said[SG_TRUST_MAX_LINE], said_conflict[SG_TRUST_MAX_LINE];
};

struct sg_trust {
    char *dir;
    char said[SG_TRUST_MAX_LINE]; /* of the directory itself */
    struct trust_entry *entries;  /* in the order of their names */
    size_t num_entries;
    struct sg_trust_issuer **issuers; /* given out; belong to the entries */
    size_t num_issuers;
    bool is_fresh; /* an issuer was read since they were given out: the address says nothing */
};

struct trust_voice {
    void (*complain)(void *context, bool is_error, const char *line);
    void *context;
};

signet_status sg_trust_new(const char *dir, struct sg_trust **out)
{
    struct sg_trust *trust = calloc(1, sizeof(*trust));
    if (trust == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    trust->dir = strdup(dir);
    trust->entries = calloc(SG_TRUST_MAX_ISSUERS, sizeof(*trust->entries));
    trust->issuers = calloc(SG_TRUST_MAX_ISSUERS, sizeof(struct sg_trust_issuer *));
    if (trust->dir == NULL || trust->entries == NULL || trust->issuers == NULL) {
        sg_trust_free(trust);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = trust;
    return SIGNET_OK;
}

static void trust_release(struct trust_entry *entry)
{
    sg_trust_issuer_unref(entry->good);
    sg_trust_issuer_unref(entry->next);
}

void sg_trust_free(struct sg_trust *trust)
{
    if (trust == NULL) {
        return;
    }
    for (size_t i = 0; i < trust->num_entries; i++) {
        trust_release(&trust->entries[i]);
    }
    free(trust->entries);
    free(trust->issuers);
    free(trust->dir);
    free(trust);
}

/* Where the name is, or would be. */
static size_t trust_place(const struct sg_trust *trust, const char *name)
{
    size_t at = 0;
    while (at < trust->num_entries && strcmp(trust->entries[at].name, name) < 0) {
        at++;
    }
    return at;
}

static struct trust_entry *trust_find(const struct sg_trust *trust, const char *name)
{
    size_t at = trust_place(trust, name);
    return at < trust->num_entries && strcmp(trust->entries[at].name, name) == 0
               ? &trust->entries[at]
               : NULL;
}

/* There must be room. */
static void trust_insert(struct sg_trust *trust, const char *name)
{
    size_t at = trust_place(trust, name);
    struct trust_entry *entry = &trust->entries[at];
    memmove(entry + 1, entry, (trust->num_entries - at) * sizeof(*entry));
    memset(entry, 0, sizeof(*entry));
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    entry->is_seen = true;
    trust->num_entries++;
}

/* ---- What is said ---- */

/* What is wrong, once. */
static void trust_say(const struct trust_voice *voice, char said[SG_TRUST_MAX_LINE],
                      const char *fault)
{
    if (fault[0] != '\0' && strcmp(said, fault) != 0) {
        voice->complain(voice->context, true, fault);
    }
    (void)snprintf(said, SG_TRUST_MAX_LINE, "%s", fault);
}

static void trust_say_good(const struct trust_voice *voice, const char *name)
{
    char line[SG_TRUST_MAX_LINE];
    (void)snprintf(line, sizeof(line), "%.600s: is good again", name);
    voice->complain(voice->context, false, line);
}

static void trust_say_entry(const struct trust_voice *voice, struct trust_entry *entry)
{
    bool was_wrong = entry->said[0] != '\0' || entry->said_conflict[0] != '\0';
    trust_say(voice, entry->said, entry->files.line);
    trust_say(voice, entry->said_conflict, entry->conflict);
    if (was_wrong && entry->said[0] == '\0' && entry->said_conflict[0] == '\0') {
        trust_say_good(voice, entry->name);
    }
}

static void trust_say_dir(const struct trust_voice *voice, struct sg_trust *trust,
                          const char *fault)
{
    bool was_wrong = trust->said[0] != '\0';
    trust_say(voice, trust->said, fault);
    if (was_wrong && fault[0] == '\0') {
        trust_say_good(voice, trust->dir);
    }
}

/* ---- The directory ---- */

/* Hidden files are what editors and tools leave while they work. */
static bool trust_is_yaml(const char *file)
{
    size_t len = strlen(file);
    const size_t suffix = strlen(TRUST_SUFFIX);
    return file[0] != '.' && len > suffix && strcmp(file + len - suffix, TRUST_SUFFIX) == 0;
}

/* The NAME of NAME.yaml; false if it is none. */
static bool trust_name_of(const char *file, char out[SG_MAX_KEYSET_NAME_LEN + 1])
{
    size_t len = trust_is_yaml(file) ? strlen(file) - strlen(TRUST_SUFFIX) : 0;
    if (len == 0 || len > SG_MAX_KEYSET_NAME_LEN) {
        return false;
    }
    memcpy(out, file, len);
    out[len] = '\0';
    return sg_config_is_name(out);
}

static bool trust_fail_to_list(const struct sg_trust *trust, char fault[SG_TRUST_MAX_LINE])
{
    (void)snprintf(fault, SG_TRUST_MAX_LINE, "%.600s: cannot be listed: %s", trust->dir,
                   strerrordesc_np(errno));
    if (errno == EACCES) {
        size_t len = strlen(fault);
        (void)snprintf(fault + len, SG_TRUST_MAX_LINE - len, ": chmod a+rx %.600s", trust->dir);
    }
    return false;
}

/* Gives the directory in *out; NULL if there is none, which is as good as an empty one. False if it cannot
 * be used as it is. */
static bool trust_open(const struct sg_trust *trust, DIR **out, char fault[SG_TRUST_MAX_LINE])
{
    DIR *list = trust->dir[0] != '\0' ? opendir(trust->dir) : NULL;
    if (list == NULL) {
        *out = NULL;
        return trust->dir[0] == '\0' || errno == ENOENT || trust_fail_to_list(trust, fault);
    }
    if (sg_trust_file_check_dir(trust->dir, dirfd(list), fault) != SIGNET_OK) {
        (void)closedir(list);
        return false;
    }
    *out = list;
    return true;
}

/* Marks the entries whose files are there. Half a list is none: what is not in it would seem gone. */
static bool trust_mark_known(struct sg_trust *trust, DIR *list, char fault[SG_TRUST_MAX_LINE])
{
    const struct dirent *file = NULL;
    for (size_t i = 0; i < trust->num_entries; i++) {
        trust->entries[i].is_seen = false;
    }
    errno = 0;
    while (list != NULL && (file = readdir(list)) != NULL) {
        char name[SG_MAX_KEYSET_NAME_LEN + 1];
        struct trust_entry *entry =
            trust_name_of(file->d_name, name) ? trust_find(trust, name) : NULL;
        if (entry != NULL) {
            entry->is_seen = true;
        }
    }
    return errno == 0 || trust_fail_to_list(trust, fault);
}

/* A listing may pass over a file that is renamed into its place meanwhile. */
static bool trust_is_gone(const struct sg_trust *trust, const struct trust_entry *entry)
{
    char path[SG_TRUST_MAX_PATH];
    struct stat info;
    (void)snprintf(path, sizeof(path), "%s/%s" TRUST_SUFFIX, trust->dir, entry->name);
    return !entry->is_seen && lstat(path, &info) != 0 && errno == ENOENT;
}

static void trust_drop_gone(struct sg_trust *trust, const struct trust_voice *voice)
{
    size_t kept = 0;
    for (size_t i = 0; i < trust->num_entries; i++) {
        struct trust_entry *entry = &trust->entries[i];
        if (!trust_is_gone(trust, entry)) {
            trust->entries[kept++] = *entry;
            continue;
        }
        if (entry->is_used) {
            char line[SG_TRUST_MAX_LINE];
            (void)snprintf(line, sizeof(line),
                           "%.600s/%s" TRUST_SUFFIX " is gone: %.255s is no "
                           "longer trusted",
                           trust->dir, entry->name, entry->good->issuer);
            voice->complain(voice->context, false, line);
        }
        trust_release(entry);
    }
    trust->num_entries = kept;
}

/* After those that are gone have made room, and never in the place of one that is there. The first fault
 * is told. */
static void trust_add_new(struct sg_trust *trust, DIR *list, char fault[SG_TRUST_MAX_LINE])
{
    const struct dirent *file = NULL;
    rewinddir(list);
    while ((file = readdir(list)) != NULL) {
        char name[SG_MAX_KEYSET_NAME_LEN + 1];
        bool is_name = trust_name_of(file->d_name, name);
        if (is_name && trust_find(trust, name) != NULL) {
            continue;
        }
        if (is_name && trust->num_entries < SG_TRUST_MAX_ISSUERS) {
            trust_insert(trust, name);
        } else if (is_name && fault[0] == '\0') {
            (void)snprintf(fault, SG_TRUST_MAX_LINE,
                           "%.600s: more than %u issuers; %s is left out: remove some", trust->dir,
                           SG_TRUST_MAX_ISSUERS, name);
        } else if (!is_name && trust_is_yaml(file->d_name) && fault[0] == '\0') {
            (void)snprintf(
                fault, SG_TRUST_MAX_LINE,
                "%.600s/%.255s: is left out; expected a name of 1 to %u of a-z 0-9 . _ - "
                "before " TRUST_SUFFIX,
                trust->dir, file->d_name, SG_MAX_KEYSET_NAME_LEN);
        }
    }
}

/* ---- One entry ---- */

static bool trust_is_changed(const struct sg_trust *trust, const struct trust_entry *entry)
{
    char path[SG_TRUST_MAX_PATH];
    (void)snprintf(path, sizeof(path), "%s/%s" TRUST_SUFFIX, trust->dir, entry->name);
    const struct sg_trust_stamp yaml = sg_trust_stamp_of(path);
    const struct sg_trust_stamp jwks = sg_trust_stamp_of(entry->files.jwks_path);
    return !sg_trust_stamp_same(&yaml, &entry->files.yaml) ||
           !sg_trust_stamp_same(&jwks, &entry->files.jwks);
}

/* Reads the files if they are others than before, and once more the next time: the times of a file go in
 * steps, and a second change within the step of the first shows in none of them. */
static void trust_refresh(const struct sg_trust *trust, struct trust_entry *entry)
{
    struct sg_trust_files files;
    struct sg_trust_issuer *fresh = NULL;
    if (entry->is_settled && !trust_is_changed(trust, entry)) {
        return;
    }
    signet_status status = sg_trust_file_read(trust->dir, entry->name, entry->good, &files, &fresh);
    if (status == SIGNET_RESOURCE_EXHAUSTED) {
        entry->is_settled = false;
        return;
    }
    bool is_second = entry->is_read && sg_trust_stamp_same(&files.yaml, &entry->files.yaml) &&
                     sg_trust_stamp_same(&files.jwks, &entry->files.jwks);
    entry->is_read = status != SIGNET_UNAVAILABLE;
    entry->is_settled = entry->is_read && is_second;
    entry->files = files;
    sg_trust_issuer_unref(entry->next);
    entry->next = fresh; /* NULL: what was read before does not count, or nothing is new */
}

static bool trust_is_local(const char *const *list, size_t num, const char *text)
{
    for (size_t i = 0; i < num; i++) {
        if (strcmp(list[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* Why an issuer may not be used under the entry's name; empty if it may. */
static void trust_find_conflict(const struct sg_trust *trust, const struct trust_entry *entry,
                                const struct sg_trust_issuer *candidate,
                                const struct sg_trust_local *local, char fault[SG_TRUST_MAX_LINE])
{
    const char *issuer = candidate->issuer;
    fault[0] = '\0';
    if (trust_is_local(local->keysets, local->num, entry->name)) {
        (void)snprintf(fault, SG_TRUST_MAX_LINE,
                       "%.600s/%s" TRUST_SUFFIX ": a keyset here is called so too; rename the file",
                       trust->dir, entry->name);
        return;
    }
    if (trust_is_local(local->issuers, local->num, issuer)) {
        (void)snprintf(fault, SG_TRUST_MAX_LINE,
                       "%.600s/%s" TRUST_SUFFIX ": issuer: %.255s is a keyset's here, and nobody "
                       "else's tokens are taken for its; remove the file",
                       trust->dir, entry->name, issuer);
        return;
    }
    for (size_t i = 0; i < trust->num_entries; i++) {
        const struct trust_entry *other = &trust->entries[i];
        if (other != entry && other->is_used && strcmp(other->good->issuer, issuer) == 0) {
            (void)snprintf(fault, SG_TRUST_MAX_LINE,
                           "%.600s/%s" TRUST_SUFFIX ": issuer: %s" TRUST_SUFFIX
                           " has %.255s already; remove one of the two",
                           trust->dir, entry->name, other->name, issuer);
            return;
        }
    }
}

/* Gives out what was last read, unless it is in conflict: then what is given out stays. */
static void trust_judge(struct sg_trust *trust, struct trust_entry *entry,
                        const struct sg_trust_local *local)
{
    entry->conflict[0] = '\0';
    if (entry->next == NULL && entry->good == NULL) {
        return;
    }
    trust_find_conflict(trust, entry, entry->next != NULL ? entry->next : entry->good, local,
                        entry->conflict);
    if (entry->conflict[0] != '\0') {
        return;
    }
    entry->is_used = true;
    if (entry->next != NULL) {
        sg_trust_issuer_unref(entry->good);
        entry->good = entry->next;
        entry->next = NULL;
        trust->is_fresh = true;
    }
}

/* Goes back to what it was before, if what was read is in conflict and that is not. */
static void trust_fall_back(const struct sg_trust *trust, struct trust_entry *entry,
                            const struct sg_trust_local *local)
{
    char unused[SG_TRUST_MAX_LINE];
    if (!entry->is_used && entry->next != NULL && entry->good != NULL) {
        trust_find_conflict(trust, entry, entry->good, local, unused);
        entry->is_used = unused[0] == '\0';
    }
}

/* ---- All of it ---- */

static bool trust_keeps(const struct sg_trust *trust, const struct trust_entry *entry,
                        const struct sg_trust_local *local)
{
    char unused[SG_TRUST_MAX_LINE];
    if (!entry->is_used ||
        (entry->next != NULL && strcmp(entry->next->issuer, entry->good->issuer) != 0)) {
        return false;
    }
    trust_find_conflict(trust, entry, entry->good, local, unused);
    return unused[0] == '\0';
}

/* Whether what an entry asks for is not to be had: somebody holds it, or asks for it before. */
static bool trust_is_refused(const struct sg_trust *trust, const bool *was_used, size_t index,
                             const struct sg_trust_local *local)
{
    char fault[SG_TRUST_MAX_LINE];
    const struct trust_entry *entry = &trust->entries[index];
    trust_find_conflict(trust, entry, entry->next, local, fault);
    for (size_t i = 0; fault[0] == '\0' && i < index; i++) {
        const struct trust_entry *other = &trust->entries[i];
        if (was_used[i] && !other->is_used && other->next != NULL &&
            strcmp(other->next->issuer, entry->next->issuer) == 0) {
            return true;
        }
    }
    return fault[0] != '\0';
}

/* Lets those that ask for another issuer hold on to what they had, if they cannot have it. Each that does
 * can be in the way of one more: true if there was any. */
static bool trust_hold(struct sg_trust *trust, const bool *was_used,
                       const struct sg_trust_local *local)
{
    bool any = false;
    for (size_t i = 0; i < trust->num_entries; i++) {
        struct trust_entry *entry = &trust->entries[i];
        if (was_used[i] && !entry->is_used && entry->next != NULL &&
            trust_is_refused(trust, was_used, i, local)) {
            trust_fall_back(trust, entry, local);
            any = any || entry->is_used;
        }
    }
    return any;
}

/* Those that were in use are judged first, and hold what they had until they have another, so that a
 * newcomer never takes an issuer away. */
static void trust_judge_all(struct sg_trust *trust, const struct sg_trust_local *local,
                            const struct trust_voice *voice)
{
    bool was_used[SG_TRUST_MAX_ISSUERS];
    for (size_t i = 0; i < trust->num_entries; i++) {
        was_used[i] = trust->entries[i].is_used;
        trust->entries[i].is_used = trust_keeps(trust, &trust->entries[i], local);
    }
    while (trust_hold(trust, was_used, local)) {
    }
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < trust->num_entries; i++) {
            if (was_used[i] == (turn == 0)) {
                trust_judge(trust, &trust->entries[i], local);
            }
        }
    }
    for (size_t i = 0; i < trust->num_entries; i++) {
        trust_fall_back(trust, &trust->entries[i], local);
        trust_say_entry(voice, &trust->entries[i]);
    }
}

static bool trust_give_out(struct sg_trust *trust)
{
    size_t num = 0;
    bool changed = trust->is_fresh;
    trust->is_fresh = false;
    for (size_t i = 0; i < trust->num_entries; i++) {
        const struct trust_entry *entry = &trust->entries[i];
        if (entry->is_used) {
            changed = changed || num >= trust->num_issuers || trust->issuers[num] != entry->good;
            trust->issuers[num++] = entry->good;
        }
    }
    changed = changed || num != trust->num_issuers;
    trust->num_issuers = num;
    return changed;
}

bool sg_trust_read(struct sg_trust *trust, const struct sg_trust_local *local,
                   void (*complain)(void *context, bool is_error, const char *line), void *context)
{
    const struct trust_voice voice = {.complain = complain, .context = context};
    char fault[SG_TRUST_MAX_LINE] = "";
    DIR *list = NULL;
    if (trust_open(trust, &list, fault) && trust_mark_known(trust, list, fault)) {
        trust_drop_gone(trust, &voice);
        if (list != NULL) {
            trust_add_new(trust, list, fault);
        }
        for (size_t i = 0; i < trust->num_entries; i++) {
            trust_refresh(trust, &trust->entries[i]);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    trust_say_dir(&voice, trust, fault);
    trust_judge_all(trust, local, &voice);
    return trust_give_out(trust);
}

void sg_trust_visit_faults(const struct sg_trust *trust,
                           void (*visit)(void *context, const char *line), void *context)
{
    if (trust->said[0] != '\0') {
        visit(context, trust->said);
    }
    for (size_t i = 0; i < trust->num_entries; i++) {
        const struct trust_entry *entry = &trust->entries[i];
        if (entry->said[0] != '\0') {
            visit(context, entry->said);
        }
        if (entry->said_conflict[0] != '\0') {
            visit(context, entry->said_conflict);
        }
    }
}

size_t sg_trust_num_issuers(const struct sg_trust *trust)
{
    return trust->num_issuers;
}

struct sg_trust_issuer *sg_trust_issuer_at(const struct sg_trust *trust, size_t index)
{
    return index < trust->num_issuers ? trust->issuers[index] : NULL;
}
