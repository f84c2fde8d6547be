"""suite.py RESULTS: turns what a test bundle prints (Swift Testing, --verbose) into claims; exits with 1 if one failed."""

import collections
import re
import sys

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# A test with arguments is told case by case, and once more as a whole.
CASE = re.compile(r"[✔✘] Test case passing \d+ arguments? (.*) to (\w+)\(\S* (passed|failed) after (\S+) seconds")
TEST = re.compile(r"[✔✘] Test (\w+)\(\) (passed|failed) after (\S+) seconds")
RUN = re.compile(r"[✔✘] Test run with (\d+) tests? ")


def main():
    failed = 0
    ended = False
    explains = False
    last = collections.deque(maxlen=40)
    with open(sys.argv[1], "a") as results:
        def record(line):
            print(line, flush=True)
            print(line, file=results, flush=True)

        for raw in sys.stdin:
            line = COLOUR.sub("", raw.rstrip("\n"))[:500]
            last.append(line)
            if found := CASE.match(line):
                argument, test, end, time = found.groups()
                # `claim → words (its type)`
                claim = f"{test}: {argument.split(' → ', 1)[-1].rsplit(' (', 1)[0]}"
            elif found := TEST.match(line):
                claim, end, time = found.groups()
            else:
                # A failure is told before its test ends, with what explains it below.
                explains = line.startswith("✘") or (explains and line.startswith("↳"))
                if run := RUN.match(line):
                    ended = int(run[1]) > 0
                elif explains:
                    print(f"#   {line}", flush=True)
                continue
            failed += end == "failed"
            record(f"{'ok' if end == 'passed' else 'not ok'} - {claim} ({float(time):.1f} s)")
        if not ended:
            failed += 1
            print(*(f"#   {line}" for line in last), sep="\n", flush=True)
            record("not ok - the tests ran to their end, and there were some")
    return 1 if failed else 0


sys.exit(main())
