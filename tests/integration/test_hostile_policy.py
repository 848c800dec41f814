# SPDX-License-Identifier: Apache-2.0
"""Hostile configurations: whatever a policy file holds, signetd --check accepts it or refuses it with
file and line. It never dies, hangs, or says something that is not one line of text for each fault.

Where a change has one outcome that is right, such as a key that there is none of, its line is checked too."""

import argparse
import collections
import os
import random
import re
import subprocess
import sys
import tempfile

PATIENCE_S = 120
MAX_FILE = 4 << 20  # of the daemon
MAX_LINE = 4096  # of the log

GOOD = r"""# A configuration that is good.
runtime_dir: /run/signet
state_dir: /var/lib/signet
socket_mode: "0660"
trust_dir: /nowhere/trust.d
keystore:
  key: file:/etc/signet/keystore.key
limits:
  max_connections: 4096
  max_in_flight_per_uid: 512
  cpu_per_uid: 50%
  cpu_burst: 1000ms
  consumed_per_uid: 100000
audit:
  dir: /var/lib/signet/audit
  on_full: block
  verifications: false
  max_file_mib: 64
  max_file_age: 24h
  max_files: 0
  queue_kib: 4096
  head_every: 60s
keysets:
  - name: login
    alg: ES256
    issuer: https://login.example
    max_ttl: 24h
  - name: orders
    alg: RS256
    issuer: https://orders.example
    rsa_bits: 2048
grants:
  - name: login-signs
    who:
      user: 1001
      group: 1001
      exe: /usr/sbin/login
      exe_sha256: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
      unit: login@*.service
    may: [sign, verify]
    keysets: [login, "team-*"]
    max_live_tokens: 100000
    claims:
      allowed: [role, "x-*"]
      required: [role]
      denied: [admin]
      forced:
        - name: service
          value: "${peer.unit}"
      audiences: [orders, "billing-*"]
      subject: "user-${peer.uid}"
      max_ttl: 1h
      max_payload: 2048
      allow_sensitive: false
  - name: all-verify
    who:
      anybody: true
    may:
      - verify
    keysets: ["*"]
"""

# Bad for the keys of GOOD that they replace the value of.
BAD_NUMBERS = ["-1", "0x10", "1.5", "1e3", "99999999999999999999999", "4294967296", "18446744073709551616",
               "NaN", '""', "~", "1 0", "one"]
BAD_TEXTS = ['""', r'"a\tb"', r'"\e[31m"', r'"a\nb: c"', '"' + "a" * 300 + '"']
BAD_TEMPLATES = ['"${"', '"${}"', '"${peer}"', '"${peer.pid}"', '"${peer.uid"', '"${${peer.uid}}"',
                 '"' + "${peer.uid}" * 100 + '"', '"' + "${" * 2000 + '"']
BAD_GLOBS = ['"' + "*" * 10000 + '"', '"' + "*a" * 5000 + '"', '""', r'"*\0"', '"' + "\u00f6" * 200 + '"']
BAD_VALUES = {
    "runtime_dir": ["run", "/../run", "/a//b", "/" + "a" * 600, r'"/a\nb"'],
    "state_dir": ["state", "/", "/.."],
    "socket_mode": ["rw", '"0777"', "-1"],
    "key": ["secret", "file:x", '"passphrase:x"'],
    "max_connections": BAD_NUMBERS, "max_in_flight_per_uid": BAD_NUMBERS,
    "consumed_per_uid": BAD_NUMBERS,
    "cpu_per_uid": ["0%", "101%", "50", "%", "-1%", "4294967296%"],
    "cpu_burst": ["9ms", "61s", "ms", "-1ms", "99999999999999999999ms"],
    "dir": ["audit", "/a/../b", r'"/\0"'],
    "on_full": ["wait", '""', "BLOCK"],
    "verifications": ["yes", "1", '""'],
    "max_file_mib": BAD_NUMBERS, "queue_kib": BAD_NUMBERS, "rsa_bits": BAD_NUMBERS,
    "head_every": ["0", "1w", "-1s", "99999999999999999999d"],
    "alg": ["none", "es256", '""'],
    "issuer": ['""', r'"a\nb"', '"' + "a" * 300 + '"'],
    "user": ["no-such-user-here", '"a:b"', "4294967295", "99999999999999999999", r'"root\n"'] + BAD_TEXTS,
    "group": ["no-such-group-here", "4294967295"] + BAD_TEXTS,
    "exe": ["login", "/a/../b", "/" + "a" * 5000, r'"/\e"'],
    "exe_sha256": ["00", "g" * 64, "0" * 65, '""'],
    "unit": ["login", '"a b.service"', "a" * 300 + ".service"] + BAD_GLOBS,
    "max_live_tokens": BAD_NUMBERS + ["0"], "max_payload": BAD_NUMBERS + ["0", "8193"],
    "value": BAD_TEMPLATES, "subject": BAD_TEMPLATES + BAD_GLOBS,
    "allow_sensitive": ["yes", "TRUE"], "anybody": ["yes", "True"],
    "may": ["[sing]", "[]", "sign", "{sign: true}"],
    "keysets": ["[A]", "[]", "login", "[" + ", ".join(["a"] * 65) + "]"] + [f"[{glob}]" for glob in BAD_GLOBS],
    "allowed": ["[iss]", r'["\x01"]', "role", "[" + ", ".join(["a"] * 65) + "]"]
               + [f"[{glob}]" for glob in BAD_GLOBS],
    "required": ["[sub]", '["x-*"]', "[[a]]"], "denied": ["[exp]", "{a: b}"],
    "audiences": ["[]"] + [f"[{text}]" for text in BAD_TEMPLATES + BAD_GLOBS],
}
KEY_LINE = re.compile(r"^( *(?:- )?)([a-z0-9_]+):(?: (.*))?$")
HOSTILE_TOKENS = ["{", "}", "[", "]", ":", "- ", "? ", "&a ", "*a", "!!binary ", "!<x> ", "|", ">", "'", '"', "#",
                  "%YAML 1.1\n", "---\n", "...\n", "<<: *a", "\t", "\r", "\u0085", "\u2028", "\ufeff", "~", "null",
                  "\x00", "\x1b", "\x7f", "@", "`", ",", "${peer.user}", "*" * 50, "9" * 50, "\U0001f600"]
BAD_UTF8 = [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x28\xa1", b"\xc3", b"\xf0\x9f\x98"]

# What a generator makes: the bytes, and the line that must be refused, if there is one that must.
Policy = collections.namedtuple("Policy", ("data", "line"))


def places(text):
    """The lines of a text that have a key: (index, indentation, key, value or None)."""
    found = []
    for index, line in enumerate(text.split("\n")):
        match = KEY_LINE.match(line)
        if match:
            found.append((index, match[1], match[2], match[3]))
    return found


def with_line(index, *new_lines):
    """GOOD with one line replaced."""
    lines = GOOD.split("\n")
    return "\n".join(lines[:index] + list(new_lines) + lines[index + 1:])


def flipped_bytes(rng):
    data = bytearray(GOOD.encode())
    for _ in range(rng.randint(1, 20)):
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at:at + rng.randint(1, 30)]
        elif kind == 2:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
        else:
            data[at:at] = data[at:at + rng.randint(1, 200)]
    return Policy(bytes(data), None)


def changed_tokens(rng):
    tokens = re.findall(r"\w+|\s+|[^\w\s]", GOOD)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(tokens))
        kind = rng.randrange(4)
        if kind == 0:
            tokens[at] = rng.choice(HOSTILE_TOKENS)
        elif kind == 1:
            tokens.insert(at, rng.choice(HOSTILE_TOKENS))
        elif kind == 2:
            del tokens[at]
        else:
            other = rng.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
    return Policy("".join(tokens).encode(), None)


def bad_value(rng):
    index, indent, key, _ = rng.choice([place for place in places(GOOD) if place[2] in BAD_VALUES and place[3]])
    # No key takes a text of two lines, and what is said of it is one.
    value = rng.choice(BAD_VALUES[key] if rng.randrange(4) else [r'"a\nb: c"', r'"\e[2J\n"'])
    return Policy(with_line(index, f"{indent}{key}: {value}").encode(), index + 1)


def unknown_key(rng):
    index, indent, key, value = rng.choice(places(GOOD))
    name = rng.choice([key + "x", key.upper(), "x", "uid", "allow_all", "k" * 1000, r'"\n"', "\u00f6"])
    return Policy(with_line(index, f"{indent}{name}:{' ' + value if value else ''}").encode(), index + 1)


def key_twice(rng):
    index, indent, key, value = rng.choice([place for place in places(GOOD) if place[3]])
    again = f"{' ' * len(indent)}{key}: {value}"
    return Policy(with_line(index, f"{indent}{key}: {value}", again).encode(), index + 2)


def wrong_type(rng):
    index, indent, key, _ = rng.choice([place for place in places(GOOD) if place[3]])
    value = rng.choice(["{}", "{a: b}", "[[a]]", "[{a: b}]", "[[[[]]]]", "{[a]: b}", "{{a: b}: c}", "? a"])
    return Policy(with_line(index, f"{indent}{key}: {value}").encode(), index + 1)


def aliases(rng):
    kind = rng.randrange(5)
    if kind == 0:  # nine to the ninth
        lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
        for before, name in zip("abcdefgh", "bcdefghi"):
            lines.append(f"{name}: &{name} [{', '.join(['*' + before] * 9)}]")
        return Policy(("\n".join(lines) + "\n" + GOOD).encode(), 1)
    if kind == 1:
        return Policy((GOOD + "user: &a [*a]\n").encode(), GOOD.count("\n") + 1)
    if kind == 2:
        return Policy((GOOD + "user: *nobody\n").encode(), GOOD.count("\n") + 1)
    if kind == 3:
        index, indent, key, value = rng.choice([place for place in places(GOOD) if place[3]])
        return Policy(("x: &a {user: root}\n" + with_line(index, f"{indent}{key}: *a")).encode(), 1)
    return Policy(GOOD.replace("    who:\n      anybody: true", "    who: &who\n      <<: *who").encode(), None)


def nested(rng):
    depth = rng.choice([10, 100, 1000, 20000, 1000000])
    kind = rng.randrange(4)
    if kind == 0:
        tail = "user: " + "[" * depth + "]" * depth
    elif kind == 1:
        tail = "user: " + "{a: " * depth + "}" * depth
    elif kind == 2:
        tail = "user: " + "[" * depth
    else:
        depth = min(depth, 1000)
        tail = "user:\n" + "".join(" " * (i + 1) + "a:\n" for i in range(depth))
    return Policy((GOOD + tail + "\n").encode(), None)


def huge(rng):
    kind = rng.randrange(11)
    last = GOOD.count("\n") + 1
    if kind == 0:
        names = ", ".join(f"k{i}*" for i in range(rng.choice([65, 1000, 100000])))
        return Policy(GOOD.replace('keysets: ["*"]', f"keysets: [{names}]").encode(), last - 1)
    if kind == 1:
        grants = "".join(f"  - {{name: h{i}, who: {{user: 1}}, may: [sign], keysets: [a]}}\n"
                         for i in range(rng.choice([1023, 5000])))
        return Policy((GOOD + grants).encode(), GOOD[:GOOD.index("grants:")].count("\n") + 1)
    if kind == 2:
        return Policy((GOOD + "user: " + "a" * rng.choice([1000, 1 << 20]) + "\n").encode(), last)
    if kind == 3:
        return Policy((GOOD + "".join(f"k{i}: 1\n" for i in range(rng.choice([70, 20000])))).encode(), None)
    if kind == 4:
        return Policy(GOOD.encode() + b"#" * (MAX_FILE - len(GOOD) + rng.randrange(2)), None)
    if kind == 5:
        return Policy(b"\n" * 200000 + GOOD.encode() + b"x: y\n", 200000 + last)
    if kind == 6:
        keysets = "".join(f"  - {{name: h{i}, alg: none, issuer: a}}\n" for i in range(4000))
        return Policy(GOOD.replace("grants:\n", keysets + "grants:\n", 1).encode(), None)
    if kind == 7:
        return Policy((GOOD + "user: [" + "&a x, " * rng.choice([65, 500000]) + "]\n").encode(), last)
    if kind == 8:
        return Policy(("%TAG !a! b\n" * rng.choice([65, 300000]) + "---\n" + GOOD).encode(), 65)
    if kind == 9:
        return Policy((GOOD + "user: [" + "{}, " * rng.choice([9000, 500000]) + "]\n").encode(), last)
    # As many names as there can be, none of which is another's.
    grants = "".join(
        f"  - {{name: h{i}, who: {{user: 1}}, may: [verify], keysets: [{','.join(f'h{i}-{k}*' for k in range(64))}]}}\n"
        for i in range(1000))
    return Policy((GOOD + grants).encode(), None)


def odd_characters(rng):
    data = bytearray(GOOD.encode())
    kind = rng.randrange(6)
    if kind == 0:
        at = rng.randrange(len(data))
        data[at:at] = rng.choice(BAD_UTF8)
    elif kind == 1:
        at = rng.randrange(len(data))
        data[at:at] = bytes([rng.choice([*range(9), 11, 12, *range(14, 32), 127])])
    elif kind == 2:
        data = GOOD.replace("\n", rng.choice(["\r\n", "\r", "\u0085", "\u2028"])).encode()
    elif kind == 3:
        data = GOOD.encode(rng.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"]))
    elif kind == 4:
        data = GOOD.replace("  ", "\t").encode()
    else:
        escape = rng.choice([r"\x1b[2J", r"\u0085", r"\u2028", r"\0", r"\ud800", r"\U00110000", r"\q", r"\x8"])
        index, indent, key, _ = rng.choice([place for place in places(GOOD) if place[3]])
        data = with_line(index, f'{indent}{key}: "{escape}"').encode()
    return Policy(bytes(data), None)


def cut(rng):
    kind = rng.randrange(3)
    if kind == 0:
        return Policy(GOOD.encode()[:rng.randrange(len(GOOD))], None)
    if kind == 1:
        return Policy(rng.choice([b"", b"\n", b"#", b"---", b"--- ", b"...", b"%", b"~", b"[]", b"{}", b"*a", b"\xef\xbb\xbf",
                                  b"\x00", b"- a", b"a", b"? ", b"!!x", b"&a", b": ", b"{"]), None)
    pieces = GOOD.split("\n")
    rng.shuffle(pieces)
    return Policy("\n".join(pieces).encode(), None)


def tags(rng):
    index, indent, key, value = rng.choice([place for place in places(GOOD) if place[3]])
    tag = rng.choice(["!!int", "!!binary", "!!map", "!!seq", "!x", "!<tag:x>", "!!python/object", "!", "&b", "!!str &b"])
    head = rng.choice(["", "", "%YAML 1.1\n---\n", "%YAML 9.9\n---\n", "%TAG ! tag:x,2000:\n---\n", "---\n"])
    tail = rng.choice(["", "", "...\n", "---\n", "---\n" + GOOD])
    return Policy((head + with_line(index, f"{indent}{key}: {tag} {value}") + tail).encode(), None)


def conflicts(rng):
    """Each by itself good; beside the others not."""
    text, line = rng.choice([
        ("allowed: [role, service]", "name: service"),
        ("required: [role, service]", "name: service"),
        ("      - verify\n    keysets", "      - verify\n      - fly\n    keysets"),
        ("anybody: true", "anybody: true\n      user: 1"),
        ("name: all-verify", "name: login-signs"),
        ("name: orders", "name: login"),
        ("anybody: true", "anybody: false"),
        ("anybody: true", "{}"),
    ])
    if text.startswith(("allowed", "required")):
        changed = GOOD.replace("allowed: [role, \"x-*\"]" if text[0] == "a" else "required: [role]", text)
        return Policy(changed.encode(), changed[:changed.index(line)].count("\n") + 1)
    return Policy(GOOD.replace(text, line, 1).encode(), None)


GENERATORS = [flipped_bytes, changed_tokens, bad_value, unknown_key, key_twice, wrong_type, aliases, nested, huge,
              odd_characters, cut, tags, conflicts]
# The quick ones are drawn more often.
WEIGHTS = [6, 6, 12, 4, 4, 4, 2, 3, 3, 5, 3, 4, 3]


def num_lines(data):
    """At most so many lines there are, by any character that YAML ends one with."""
    if b"\x00" in data:  # UTF-16 and its like
        return len(data) + 1
    breaks = sum(data.count(mark) for mark in (b"\n", b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9"))
    return breaks + 2


def fault_of(path, policy, result):
    """What is wrong with signetd's answer; None if nothing is."""
    if result.returncode == 0:
        if policy.line is not None:
            return f"accepted; line {policy.line} is bad"
        if not result.stdout.startswith(f"{path}: ok, ".encode()):
            return "accepted without a word"
        return None
    if result.returncode != 1:
        return f"ended with {result.returncode}"
    if result.stdout:
        return "refused, and wrote to its standard output"
    lines = []
    for line in result.stderr.split(b"\n")[:-1]:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return f"said what is not UTF-8: {line!r}"
        if len(line) > MAX_LINE or any(ord(c) < 32 or ord(c) == 127 for c in text):
            return f"said what is not one line of text: {text!r}"
        match = re.match(re.escape(f"signetd: error: {path}:") + r"(?:(\d+):)? .*", text)
        if not match:
            return f"said what does not begin with error, file and line: {text!r}"
        if match[1] is None and "too large" not in text:
            return f"named no line: {text!r}"
        lines.append(int(match[1] or 0))
    if not lines:
        return "refused without a word"
    if max(lines) > num_lines(policy.data):
        return f"named line {max(lines)} of {num_lines(policy.data)}"
    if policy.line is not None and policy.line not in lines:
        return f"named the lines {lines}; line {policy.line} is bad"
    return None


def check(daemon, path, policy):
    with open(path, "wb") as file:
        file.write(policy.data)
    try:
        result = subprocess.run([daemon, "--check", "--config", path], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return None, f"took more than {PATIENCE_S} s"
    fault = fault_of(path, policy, result)
    said = result.stderr.decode(errors="replace")[:2000]
    return result.returncode, f"{fault}\n{said}" if fault else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    args = parser.parse_args()
    print(f"hostile policies: --number {args.number} --seed {args.seed}", flush=True)
    rng = random.Random(args.seed)
    outcomes = collections.Counter()
    num_failed = 0
    with tempfile.TemporaryDirectory(prefix="signet-test.") as scratch:
        path = os.path.join(scratch, "signet.yaml")
        status, fault = check(args.daemon, path, Policy(GOOD.encode(), None))
        if status != 0:
            print(f"the good one: {fault}, status {status}")
            return 1
        for i in range(args.number):
            # Each at least once, then at random.
            generator = GENERATORS[i] if i < len(GENERATORS) else rng.choices(GENERATORS, WEIGHTS)[0]
            policy = generator(rng)
            status, fault = check(args.daemon, path, policy)
            outcomes[(generator.__name__, status)] += 1
            if fault:
                num_failed += 1
                kept = os.path.join(tempfile.gettempdir(), f"signet-hostile-policy-{args.seed}-{i}.yaml")
                with open(kept, "wb") as file:
                    file.write(policy.data)
                print(f"FAILED: {i}, {generator.__name__}, kept as {kept}: {fault}")
    for (name, status), num in sorted(outcomes.items(), key=str):
        print(f"  {name}: {num} ended with {status}")
    num_refused = sum(num for (_, status), num in outcomes.items() if status == 1)
    print(f"{args.number} files, {num_refused} refused, {num_failed} failed")
    return 1 if num_failed > 0 or num_refused < args.number // 2 else 0


if __name__ == "__main__":
    sys.exit(main())
