/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet inspect`: takes a token apart without the daemon and explains everything that is wrong with
 * it, not only the first thing. It has no key, so it can never tell whether a token is good, and
 * never says so. It is lenient where the daemon is strict, in order to show what is there: nothing
 * here may ever be used to accept a token.
 */
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/cli/cli.h"
#include "client/cli/output.h"
#include "common/base64url.h"
#include "common/jose/alg.h"
#include "common/jose/sensitive_claims.h"
#include "common/limits.h"

#define INSPECT_MAX_PARTS  6 /* one more than a JWE has */
#define INSPECT_LONG_LIFE  86400
#define INSPECT_MAX_NUMBER 9007199254740992.0 /* 2^53 */

/* What weighs how much. */
enum inspect_weight {
    INSPECT_PROBLEM = 1, /* the daemon refuses a token with this */
    INSPECT_NOTE         /* worth knowing */
};

struct inspect_part {
    const char *text;
    size_t len;
};

struct inspect_bytes {
    uint8_t *bytes; /* owned; NULL if they could not be decoded */
    size_t len;
};

struct inspection {
    struct inspect_part parts[INSPECT_MAX_PARTS];
    size_t num_parts;
    int64_t now;
    json_t *header;  /* an object; NULL if there is none */
    json_t *payload; /* an object; NULL if there is none */
    struct inspect_bytes signature;
    json_t *problems; /* arrays of strings */
    json_t *notes;
};

static void inspect_say(struct inspection *it, enum inspect_weight weight, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void inspect_say(struct inspection *it, enum inspect_weight weight, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    char *safe = cli_escape(text, strlen(text)); /* also makes UTF-8 of what was cut */
    (void)json_array_append_new(weight == INSPECT_PROBLEM ? it->problems : it->notes,
                                cli_must(json_string(safe)));
    free(safe);
}

/* ---- The three parts ---- */

static void inspect_split(struct inspection *it, const char *token, size_t len)
{
    size_t begin = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && token[i] != '.') {
            continue;
        }
        if (it->num_parts < INSPECT_MAX_PARTS) {
            it->parts[it->num_parts].text = token + begin;
            it->parts[it->num_parts].len = i - begin;
        }
        it->num_parts++;
        begin = i + 1;
    }

    if (it->num_parts == 3) {
        return;
    }
    const char *hint = "";
    if (len > 0 && token[0] == '{') {
        hint = "; it looks like the JSON serialization, which is not for JWTs (RFC 7519 section 1)";
    } else if (it->num_parts == 5) {
        hint = "; with five it looks like an encrypted JWE (RFC 7516), which is not supported";
    } else if (it->num_parts == 2) {
        hint = "; the signature is missing";
    }
    inspect_say(it, INSPECT_PROBLEM,
                "token: %zu part%s instead of three, header.payload.signature%s", it->num_parts,
                it->num_parts == 1 ? "" : "s", hint);
}

/* Complaints about what is not base64url (RFC 7515 section 2), and text as it was probably meant. */
static size_t inspect_mend_base64(struct inspection *it, const char *name,
                                  const struct inspect_part *part, char *mended)
{
    size_t len = 0;
    size_t num_padding = 0;
    size_t num_space = 0;
    size_t num_standard = 0;
    size_t num_other = 0;
    for (size_t i = 0; i < part->len; i++) {
        unsigned char c = (unsigned char)part->text[i];
        if (isalnum(c) || c == '-' || c == '_') {
            mended[len++] = (char)c;
        } else if (c == '+' || c == '/') {
            num_standard++;
            mended[len++] = c == '+' ? '-' : '_';
        } else if (c == '=') {
            num_padding++;
        } else if (isspace(c)) {
            num_space++;
        } else {
            num_other++;
        }
    }
    if (num_padding > 0) {
        inspect_say(it, INSPECT_PROBLEM, "%s: has %zu '='; base64url is without padding", name,
                    num_padding);
    }
    if (num_standard > 0) {
        inspect_say(it, INSPECT_PROBLEM,
                    "%s: has %zu '+' or '/': plain base64; base64url has '-' and '_'", name,
                    num_standard);
    }
    if (num_space > 0) {
        inspect_say(it, INSPECT_PROBLEM, "%s: has %zu spaces or line ends within", name, num_space);
    }
    if (num_other > 0) {
        inspect_say(it, INSPECT_PROBLEM, "%s: has %zu characters that base64url does not have",
                    name, num_other);
    }
    return len;
}

/* RFC 4648 section 3.5: bits of the last character that are of no byte must be zero. */
static void inspect_mend_trailing_bits(struct inspection *it, const char *name, char *text,
                                       size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (len % 4 < 2) {
        return;
    }
    size_t mask = len % 4 == 2 ? 0x0f : 0x03;
    size_t value = (size_t)(strchr(alphabet, text[len - 1]) - alphabet);
    if ((value & mask) != 0) {
        inspect_say(it, INSPECT_PROBLEM,
                    "%s: the last character has bits that belong to no byte (RFC 4648 section 3.5)",
                    name);
        text[len - 1] = alphabet[value & ~mask];
    }
}

static struct inspect_bytes inspect_decode(struct inspection *it, const char *name,
                                           const struct inspect_part *part)
{
    struct inspect_bytes out = {0};
    char *mended = cli_must(malloc(part->len + 1));
    size_t len = inspect_mend_base64(it, name, part, mended);
    if (len % 4 == 1) {
        inspect_say(it, INSPECT_PROBLEM,
                    "%s: base64url of %zu characters cannot be: one is missing", name, len);
        len--;
    }
    inspect_mend_trailing_bits(it, name, mended, len);
    out.bytes = cli_must(malloc(len + 1));
    if (!sg_base64url_decode(mended, len, out.bytes, len, &out.len)) {
        free(out.bytes);
        out.bytes = NULL;
    }
    free(mended);
    return out;
}

/* How deep text nests, strings aside. */
static size_t inspect_depth(const uint8_t *text, size_t len)
{
    size_t depth = 0;
    size_t deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        if (in_string) {
            if (text[i] == '\\') {
                i++;
            } else if (text[i] == '"') {
                in_string = false;
            }
        } else if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == '{' || text[i] == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

/* Reads strictly, then, with a complaint, as leniently as is safe. */
static json_t *inspect_load(struct inspection *it, const char *name, const uint8_t *bytes,
                            size_t len)
{
    json_error_t error;
    size_t depth = inspect_depth(bytes, len);
    if (depth > SG_MAX_JSON_DEPTH) {
        inspect_say(it, INSPECT_PROBLEM, "%s: nests %zu deep; at most %u is taken", name, depth,
                    SG_MAX_JSON_DEPTH);
        return NULL;
    }
    json_t *value =
        json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (value != NULL) {
        return value;
    }
    enum json_error_code code = json_error_code(&error);
    if (code == json_error_duplicate_key) {
        inspect_say(it, INSPECT_PROBLEM,
                    "%s: a member stands twice (%s); the last is shown (RFC 7515 section 4)", name,
                    error.text);
    } else if (code == json_error_null_character) {
        inspect_say(it, INSPECT_PROBLEM, "%s: holds \\u0000, which is never accepted", name);
    } else if (code == json_error_numeric_overflow) {
        inspect_say(it, INSPECT_PROBLEM, "%s: a number is too large (%s)", name, error.text);
        return NULL;
    } else {
        inspect_say(it, INSPECT_PROBLEM, "%s: not JSON, from byte %d on", name, error.position);
        return NULL;
    }
    return json_loadb((const char *)bytes, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
}

/* One of the first two parts: base64url of a JSON object. */
static json_t *inspect_read_object(struct inspection *it, const char *name,
                                   const struct inspect_part *part, size_t max_len)
{
    if (part->len == 0) {
        inspect_say(it, INSPECT_PROBLEM, "%s: is empty", name);
        return NULL;
    }
    struct inspect_bytes bytes = inspect_decode(it, name, part);
    if (bytes.bytes == NULL) {
        return NULL;
    }
    if (bytes.len > max_len) {
        inspect_say(it, INSPECT_PROBLEM, "%s: has %zu bytes; at most %zu are taken", name,
                    bytes.len, max_len);
    }
    json_t *value = inspect_load(it, name, bytes.bytes, bytes.len);
    free(bytes.bytes);
    if (value != NULL && !json_is_object(value)) {
        inspect_say(it, INSPECT_PROBLEM, "%s: is JSON but not an object", name);
        json_decref(value);
        return NULL;
    }
    return value;
}

static void inspect_read_parts(struct inspection *it)
{
    it->header = inspect_read_object(it, "header", &it->parts[0], SG_MAX_HEADER_LEN);
    if (it->num_parts == 2 || it->num_parts == 3) {
        it->payload = inspect_read_object(it, "payload", &it->parts[1], SG_MAX_PAYLOAD_LEN);
    }
    if (it->num_parts == 3) {
        if (it->parts[2].len == 0) {
            inspect_say(it, INSPECT_PROBLEM, "signature: is empty: the token is not signed");
        }
        it->signature = inspect_decode(it, "signature", &it->parts[2]);
    }
}

/* ---- The header ---- */

static void inspect_alg(struct inspection *it)
{
    const json_t *alg = json_object_get(it->header, "alg");
    const char *name = json_string_value(alg);
    if (alg == NULL) {
        inspect_say(it, INSPECT_PROBLEM, "header: has no \"alg\" (RFC 7515 section 4.1.1)");
        return;
    }
    if (name == NULL) {
        inspect_say(it, INSPECT_PROBLEM, "header: \"alg\" is not a string");
        return;
    }
    if (strcasecmp(name, "none") == 0) {
        inspect_say(it, INSPECT_PROBLEM,
                    "header: alg \"%s\" says that the token is not signed; it is never accepted "
                    "(RFC 8725 section 3.2)",
                    name);
        return;
    }
    for (int i = 1; i < SG_ALG_COUNT; i++) {
        if (sg_alg_matches((enum sg_alg)i, name, json_string_length(alg))) {
            return;
        }
    }
    inspect_say(it, INSPECT_PROBLEM,
                "header: alg \"%s\" is not a known signature algorithm; letters count: HS, RS, PS "
                "or ES with 256, 384 or 512, ES256K, EdDSA, Ed25519, Ed448",
                name);
}

static void inspect_kid(struct inspection *it)
{
    const json_t *kid = json_object_get(it->header, "kid");
    if (kid == NULL) {
        inspect_say(
            it, INSPECT_NOTE,
            "header: no \"kid\": it can only be checked with --keyset, which says whose keys "
            "to try");
    } else if (!json_is_string(kid)) {
        inspect_say(it, INSPECT_PROBLEM, "header: \"kid\" is not a string");
    } else if (json_string_length(kid) == 0 || json_string_length(kid) > SG_MAX_KID_LEN) {
        inspect_say(it, INSPECT_PROBLEM, "header: \"kid\" has %zu bytes; 1 to %u are taken",
                    json_string_length(kid), SG_MAX_KID_LEN);
    }
}

static void inspect_typ(struct inspection *it)
{
    const json_t *typ = json_object_get(it->header, "typ");
    if (typ == NULL) {
        inspect_say(it, INSPECT_NOTE,
                    "header: no \"typ\": a token for one purpose may be taken for one for another "
                    "(RFC 8725 section 3.11)");
    } else if (!json_is_string(typ)) {
        inspect_say(it, INSPECT_PROBLEM, "header: \"typ\" is not a string");
    } else if (json_string_length(typ) > SG_MAX_TYP_LEN) {
        inspect_say(it, INSPECT_PROBLEM, "header: \"typ\" is longer than %u bytes", SG_MAX_TYP_LEN);
    }
}

static void inspect_header(struct inspection *it)
{
    static const struct {
        const char *name;
        enum inspect_weight weight;
        const char *text;
    } members[] = {
        {"crit", INSPECT_PROBLEM,
         "demands extensions to be understood; none is supported (RFC 7515 section 4.1.11)"},
        {"b64", INSPECT_PROBLEM,
         "changes how the payload is encoded; not for JWTs (RFC 7797 section 7)"},
        {"jwk", INSPECT_NOTE,
         "is a key that the token brings itself; it is ignored, as anyone could"},
        {"jku", INSPECT_NOTE, "names a place to fetch keys from; it is ignored"},
        {"x5u", INSPECT_NOTE, "names a place to fetch a certificate from; it is ignored"},
        {"x5c", INSPECT_NOTE, "is a certificate that the token brings itself; it is ignored"},
        {"zip", INSPECT_NOTE, "is for encrypted tokens (RFC 7516); it is ignored"},
        {"cty", INSPECT_NOTE,
         "says what the payload is; a token within the token is not unwrapped"},
    };
    if (it->header == NULL) {
        return;
    }
    inspect_alg(it);
    inspect_kid(it);
    inspect_typ(it);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (json_object_get(it->header, members[i].name) != NULL) {
            inspect_say(it, members[i].weight, "header: \"%s\" %s", members[i].name,
                        members[i].text);
        }
    }
}

/* ---- The claims ---- */

/* A NumericDate (RFC 7519 section 2). False if it is absent or, after a complaint, none. */
static bool inspect_date(struct inspection *it, const char *name, double *out)
{
    const json_t *value = json_object_get(it->payload, name);
    if (value == NULL) {
        return false;
    }
    if (!json_is_number(value)) {
        inspect_say(it, INSPECT_PROBLEM,
                    "claims: \"%s\" is %s; a time is a number of seconds since "
                    "1970 (RFC 7519 section 2)",
                    name, json_is_string(value) ? "a string" : "not a number");
        return false;
    }
    *out = json_number_value(value);
    if (!(*out >= -INSPECT_MAX_NUMBER && *out <= INSPECT_MAX_NUMBER)) {
        inspect_say(it, INSPECT_PROBLEM, "claims: \"%s\" is beyond +-2^53 and so no usable time",
                    name);
        return false;
    }
    if (*out > 1e11) {
        inspect_say(it, INSPECT_NOTE,
                    "claims: \"%s\" looks like milliseconds; it is read as seconds", name);
    }
    return true;
}

static void inspect_times(struct inspection *it)
{
    char text[96];
    double now = (double)it->now;
    double exp = 0;
    double nbf = 0;
    double iat = 0;
    bool has_exp = inspect_date(it, "exp", &exp);
    bool has_nbf = inspect_date(it, "nbf", &nbf);
    bool has_iat = inspect_date(it, "iat", &iat);
    if (json_object_get(it->payload, "exp") == NULL) {
        inspect_say(it, INSPECT_PROBLEM, "claims: no \"exp\": the token would never end");
    }
    if (has_exp && now >= exp) {
        cli_format_time((int64_t)exp, it->now, text, sizeof(text));
        inspect_say(it, INSPECT_PROBLEM, "claims: expired at %s", text);
    }
    if (has_nbf && now < nbf) {
        cli_format_time((int64_t)nbf, it->now, text, sizeof(text));
        inspect_say(it, INSPECT_PROBLEM, "claims: not to be used before %s (\"nbf\")", text);
    }
    if (has_iat && now < iat) {
        cli_format_time((int64_t)iat, it->now, text, sizeof(text));
        inspect_say(it, INSPECT_PROBLEM, "claims: issued in the future, at %s (\"iat\")", text);
    }
    if (has_exp && has_nbf && nbf >= exp) {
        inspect_say(it, INSPECT_NOTE,
                    "claims: \"nbf\" is not before \"exp\": it can never be used");
    }
    double from = has_iat ? iat : now;
    if (has_exp && exp - from > INSPECT_LONG_LIFE) {
        cli_format_duration((uint64_t)(exp - from), text, sizeof(text));
        inspect_say(it, INSPECT_NOTE,
                    "claims: lives for %s; whoever steals it can use it for as long", text);
    }
}

static void inspect_audience(struct inspection *it)
{
    const json_t *aud = json_object_get(it->payload, "aud");
    if (aud == NULL) {
        inspect_say(it, INSPECT_PROBLEM,
                    "claims: no \"aud\": it is for nobody, and passes only with --any-aud");
        return;
    }
    if (json_is_string(aud)) {
        return;
    }
    if (!json_is_array(aud)) {
        inspect_say(it, INSPECT_PROBLEM,
                    "claims: \"aud\" is neither a string nor an array of strings (RFC 7519 section "
                    "4.1.3)");
        return;
    }
    if (json_array_size(aud) == 0) {
        inspect_say(it, INSPECT_PROBLEM, "claims: \"aud\" is an empty array: it is for nobody");
    }
    if (json_array_size(aud) > SG_MAX_AUDIENCES) {
        inspect_say(it, INSPECT_PROBLEM, "claims: \"aud\" has %zu values; at most %u are taken",
                    json_array_size(aud), SG_MAX_AUDIENCES);
    }
    size_t i = 0;
    const json_t *item = NULL;
    json_array_foreach(aud, i, item)
    {
        if (!json_is_string(item)) {
            inspect_say(it, INSPECT_PROBLEM, "claims: \"aud\" number %zu is not a string", i + 1);
        }
    }
}

static void inspect_strings(struct inspection *it)
{
    static const struct {
        const char *name;
        enum inspect_weight weight;
        const char *missing;
    } members[] = {
        {"iss", INSPECT_PROBLEM, "nobody says to have issued it"},
        {"sub", INSPECT_NOTE, "it speaks of nobody"},
        {"jti", INSPECT_NOTE, "it has no id of its own"},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const json_t *value = json_object_get(it->payload, members[i].name);
        if (value == NULL) {
            inspect_say(it, members[i].weight, "claims: no \"%s\": %s", members[i].name,
                        members[i].missing);
        } else if (!json_is_string(value)) {
            inspect_say(it, INSPECT_PROBLEM, "claims: \"%s\" is not a string", members[i].name);
        }
    }
}

static bool inspect_found_sensitive(void *context, enum sg_sensitive_kind kind, const char *name)
{
    inspect_say(context, INSPECT_NOTE,
                kind == SG_SENSITIVE_CARD
                    ? "claims: \"%.100s\" looks like the number of a payment card, but anyone who "
                      "holds the token can read it"
                    : "claims: \"%.100s\" sounds confidential, but anyone who holds the token "
                      "can read it",
                name);
    return true;
}

static void inspect_claims(struct inspection *it)
{
    if (it->payload == NULL) {
        return;
    }
    inspect_times(it);
    inspect_audience(it);
    inspect_strings(it);
    (void)sg_sensitive_claims(it->payload, inspect_found_sensitive, it);
}

/* ---- The signature ---- */

/* RSA has the length of its modulus. */
static bool inspect_length_fits(const struct sg_alg_info *info, size_t len)
{
    size_t exact = info->signature_len != 0 ? info->signature_len : info->hash_len;
    if (info->family == SG_FAMILY_RSA_PKCS1 || info->family == SG_FAMILY_RSA_PSS) {
        return len >= SG_MIN_RSA_BITS / 8 && len <= SG_MAX_RSA_BITS / 8;
    }
    return len == exact;
}

/* Whether the length of the signature fits an algorithm that the header's "alg" may mean. EdDSA
 * means either of two. */
static void inspect_signature(struct inspection *it)
{
    const json_t *alg = json_object_get(it->header, "alg");
    if (!json_is_string(alg) || it->signature.len == 0) {
        return;
    }
    const struct sg_alg_info *meant = NULL;
    for (int i = 1; i < SG_ALG_COUNT; i++) {
        if (!sg_alg_matches((enum sg_alg)i, json_string_value(alg), json_string_length(alg))) {
            continue;
        }
        meant = sg_alg_info((enum sg_alg)i);
        if (inspect_length_fits(meant, it->signature.len)) {
            return;
        }
    }
    if (meant == NULL) {
        return;
    }
    if (meant->family == SG_FAMILY_ECDSA && it->signature.bytes[0] == 0x30) {
        inspect_say(it, INSPECT_PROBLEM,
                    "signature: %zu bytes that look like DER; a JWS has r and s, %zu bytes in all "
                    "(RFC 7518 section 3.4)",
                    it->signature.len, meant->signature_len);
        return;
    }
    inspect_say(it, INSPECT_PROBLEM, "signature: %zu bytes cannot be of %s", it->signature.len,
                json_string_value(alg));
}

/* ---- Telling ---- */

static const char inspect_closing[] =
    "The signature was not checked: anyone could have written this. To have it checked:\n"
    "  signet verify TOKEN --aud AUDIENCE\n";

static void inspect_print_list(const char *title, enum cli_style style, const json_t *list)
{
    size_t i = 0;
    const json_t *item = NULL;
    if (json_array_size(list) == 0) {
        return;
    }
    cli_styled(stdout, style, title);
    (void)fputc('\n', stdout);
    json_array_foreach(list, i, item)
    {
        (void)printf("  - %s\n", json_string_value(item));
    }
}

static void inspect_print_object(const struct inspection *it, const char *title, json_t *object)
{
    cli_styled(stdout, CLI_STRONG, title);
    (void)fputs(object == NULL ? "\n  (cannot be read)\n" : "\n", stdout);
    if (object != NULL) {
        cli_print_claims(object, it->now, "  ");
    }
}

static void inspect_print(const struct inspection *it)
{
    inspect_print_object(it, "header", it->header);
    inspect_print_object(it, "claims, as anyone can read them", it->payload);
    cli_styled(stdout, CLI_STRONG, "signature");
    (void)printf("\n  %zu bytes\n", it->signature.len);
    inspect_print_list("problems", CLI_RED, it->problems);
    inspect_print_list("notes", CLI_YELLOW, it->notes);
    if (json_array_size(it->problems) == 0) {
        (void)fputs("No problem can be seen without the key.\n", stdout);
    }
    (void)fputs(inspect_closing, stdout);
}

static void inspect_print_json(const struct inspection *it)
{
    cli_print_json(json_pack("{s:b, s:O?, s:O?, s:I, s:O, s:O, s:s}", "signature_checked", 0,
                             "header", it->header, "claims", it->payload, "signature_len",
                             (json_int_t)it->signature.len, "problems", it->problems, "notes",
                             it->notes, "next", "signet verify TOKEN --aud AUDIENCE"));
}

static void inspect_fini(struct inspection *it)
{
    json_decref(it->header);
    json_decref(it->payload);
    json_decref(it->problems);
    json_decref(it->notes);
    free(it->signature.bytes);
}

static enum cli_exit inspect_token(const struct cli *cli, const struct cli_token *token)
{
    struct inspection it = {
        .now = cli_now(),
        .problems = cli_must(json_array()),
        .notes = cli_must(json_array()),
    };
    if (token->len > SG_MAX_TOKEN_LEN) {
        inspect_say(&it, INSPECT_PROBLEM, "token: longer than the %u characters that are taken",
                    SG_MAX_TOKEN_LEN);
    } else {
        inspect_split(&it, token->text, token->len);
        inspect_read_parts(&it);
        inspect_header(&it);
        inspect_claims(&it);
        inspect_signature(&it);
    }
    if (cli->json) {
        inspect_print_json(&it);
    } else {
        inspect_print(&it);
    }
    enum cli_exit exit = it.header != NULL && it.payload != NULL ? CLI_GOOD : CLI_REFUSED;
    inspect_fini(&it);
    return exit;
}

static enum cli_exit inspect_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    struct cli_token token;
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 1, 1, &arguments) ||
        !cli_token_read(cli, arguments[0], &token)) {
        return cli->exit;
    }
    enum cli_exit exit = inspect_token(cli, &token);
    cli_token_free(&token);
    return exit;
}

const struct cli_command cli_inspect = {
    .name = "inspect",
    .synopsis = "TOKEN",
    .summary = "take a token apart and explain its problems",
    .help =
        "Takes a token apart, without the daemon and without a key, and explains every problem that\n"
        "can be seen. TOKEN - reads it from standard input. It cannot tell whether the token is\n"
        "good: only `signet verify` can. Problems are what the daemon would refuse the token for;\n"
        "notes are worth knowing. Exits with 0 if the token could be decoded, whatever was found,\n"
        "and with 1 if not.\n"
        "\n"
        "With --json: {\"signature_checked\": false, \"header\", \"claims\", \"signature_len\",\n"
        "\"problems\", \"notes\", \"next\"}.\n",
    .run = inspect_run,
};
