/* SPDX-License-Identifier: Apache-2.0
 *
 * Files, descriptors and the terminal, read without a trace.
 */
#include "client/seal/input.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* ---- Reading ---- */

/* read, but for one that a signal interrupted before it read anything. */
static ssize_t input_read(int fd, void *out, size_t cap)
{
    ssize_t got;
    do {
        got = read(fd, out, cap);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* Reads up to cap bytes, or to the end. False, with errno, if that fails. */
static bool input_read_all(int fd, uint8_t *out, size_t cap, size_t *len)
{
    *len = 0;
    while (*len < cap) {
        ssize_t got = input_read(fd, out + *len, cap - *len);
        if (got < 0) {
            return false;
        }
        if (got == 0) {
            break;
        }
        *len += (size_t)got;
    }
    return true;
}

static bool input_no_memory(struct cli *cli)
{
    (void)cli_fail(cli, CLI_FAILED, "no memory for a key");
    return false;
}

static bool input_read_file(struct cli *cli, int fd, const char *name, struct seal_bytes *out)
{
    /* One byte more than is allowed, so that it is seen to be too long. */
    uint8_t *data = seal_alloc(SEAL_MAX_FILE + 1);
    size_t len = 0;
    if (data == NULL) {
        return input_no_memory(cli);
    }
    if (!input_read_all(fd, data, SEAL_MAX_FILE + 1, &len)) {
        (void)cli_fail(cli, CLI_USAGE, "cannot read %s: %s", name, strerrordesc_np(errno));
    } else if (len == 0) {
        (void)cli_fail(cli, CLI_USAGE, "%s is empty", name);
    } else if (len > SEAL_MAX_FILE) {
        (void)cli_fail(cli, CLI_USAGE, "%s is longer than 1 MiB; no key is", name);
    } else {
        *out = (struct seal_bytes){.data = data, .len = len};
        return true;
    }
    seal_free(data);
    return false;
}

bool seal_read_file(struct cli *cli, const char *path, struct seal_bytes *out)
{
    if (strcmp(path, "-") == 0) {
        return input_read_file(cli, STDIN_FILENO, "standard input", out);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        (void)cli_fail(cli, CLI_USAGE, "cannot open %s: %s", path, strerrordesc_np(errno));
        return false;
    }
    bool is_read = input_read_file(cli, fd, path, out);
    (void)close(fd);
    return is_read;
}

/* ---- The terminal ---- */

static volatile sig_atomic_t input_caught; /* the signal that came meanwhile; 0: none */

static void input_catch(int number)
{
    input_caught = number;
}

static const int input_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define INPUT_NUM_SIGNALS (sizeof(input_signals) / sizeof(input_signals[0]))

/* A terminal without echo that is left must have its echo back, also when a signal ends us. */
struct input_terminal {
    int fd;
    struct termios modes;
    struct sigaction actions[INPUT_NUM_SIGNALS];
};

static bool input_terminal_quiet(struct input_terminal *terminal)
{
    struct termios quiet;
    if (tcgetattr(terminal->fd, &terminal->modes) != 0) {
        return false;
    }
    struct sigaction action = {.sa_handler = input_catch}; /* without SA_RESTART: it ends a read */
    input_caught = 0;
    for (size_t i = 0; i < INPUT_NUM_SIGNALS; i++) {
        (void)sigaction(input_signals[i], &action, &terminal->actions[i]);
    }
    quiet = terminal->modes;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    return tcsetattr(terminal->fd, TCSAFLUSH, &quiet) == 0;
}

/* Gives back what was; then the signal that came has the effect that it would have had. */
static void input_terminal_restore(const struct input_terminal *terminal)
{
    (void)tcsetattr(terminal->fd, TCSAFLUSH, &terminal->modes);
    for (size_t i = 0; i < INPUT_NUM_SIGNALS; i++) {
        (void)sigaction(input_signals[i], &terminal->actions[i], NULL);
    }
    (void)!write(terminal->fd, "\n", 1);
    if (input_caught != 0) {
        (void)raise(input_caught);
    }
}

/* One line; a terminal gives no more than that at a time. -1, with errno, if it cannot be read. */
static ssize_t input_read_line(int fd, const char *prompt, uint8_t *out, size_t cap)
{
    if (write(fd, prompt, strlen(prompt)) < 0) {
        return -1;
    }
    ssize_t got = 0;
    do {
        got = read(fd, out, cap);
    } while (got < 0 && errno == EINTR && input_caught == 0);
    return got;
}

static bool input_ask(struct cli *cli, const char *prompt, uint8_t *out, size_t cap, size_t *len)
{
    struct input_terminal terminal = {.fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)};
    if (terminal.fd < 0) {
        (void)cli_fail(cli, CLI_USAGE,
                       "there is no terminal to ask for the passphrase on; use --passphrase-fd");
        return false;
    }
    ssize_t got = -1;
    if (input_terminal_quiet(&terminal)) {
        got = input_read_line(terminal.fd, prompt, out, cap);
        int code = errno;
        input_terminal_restore(&terminal);
        errno = code;
    }
    (void)close(terminal.fd);
    if (got < 0) {
        (void)cli_fail(cli, CLI_USAGE, "cannot read the passphrase from the terminal: %s",
                       strerrordesc_np(errno));
        return false;
    }
    *len = (size_t)got;
    return true;
}

/* ---- Passphrases ---- */

/* Up to the line end, byte by byte: what follows is somebody else's to read. */
static bool input_take(struct cli *cli, int fd, uint8_t *out, size_t cap, size_t *len)
{
    for (*len = 0; *len < cap; (*len)++) {
        ssize_t got = input_read(fd, out + *len, 1);
        if (got < 0) {
            (void)cli_fail(cli, CLI_USAGE, "cannot read the passphrase from descriptor %d: %s", fd,
                           strerrordesc_np(errno));
            return false;
        }
        if (got == 0 || out[*len] == '\n') {
            break;
        }
    }
    return true;
}

static bool input_passphrase_is_good(struct cli *cli, const uint8_t *data, size_t len)
{
    if (len == 0) {
        (void)cli_fail(cli, CLI_USAGE, "the passphrase is empty");
    } else if (len > SEAL_MAX_PASSPHRASE) {
        (void)cli_fail(cli, CLI_USAGE, "the passphrase is longer than %zu bytes",
                       SEAL_MAX_PASSPHRASE);
    } else if (memchr(data, '\0', len) != NULL) {
        (void)cli_fail(cli, CLI_USAGE, "the passphrase holds a NUL byte");
    } else {
        return true;
    }
    return false;
}

bool seal_read_passphrase(struct cli *cli, int fd, const char *prompt, struct seal_bytes *out)
{
    const size_t cap = SEAL_MAX_PASSPHRASE + 2; /* a line end, and one more, to see it */
    uint8_t *data = seal_alloc(cap);
    size_t len = 0;
    if (data == NULL) {
        return input_no_memory(cli);
    }
    bool is_read =
        fd >= 0 ? input_take(cli, fd, data, cap, &len) : input_ask(cli, prompt, data, cap, &len);
    if (is_read && len > 0 && data[len - 1] == '\n') {
        len--;
    }
    if (!is_read || !input_passphrase_is_good(cli, data, len)) {
        seal_free(data);
        return false;
    }
    *out = (struct seal_bytes){.data = data, .len = len};
    return true;
}
