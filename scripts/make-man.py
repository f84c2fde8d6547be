#!/usr/bin/env python3
"""make-man.py SECTION OUT [VARIABLES]: manual pages of a program, from what it says of itself.

Reads on stdin what `PROGRAM --experimental-dump-help` prints. Section 1 gets a page for each command (hypeman-run.1) and
one that lists them; section 8 is one page for all. VARIABLES is a file with what `hypeman-agent variables` prints, for
the page's list of variables. The date is that of SOURCE_DATE_EPOCH.
"""
import json
import os
import pathlib
import re
import sys
import time

section, out = sys.argv[1], pathlib.Path(sys.argv[2])
variables = pathlib.Path(sys.argv[3]).read_text() if len(sys.argv) > 3 else ""
date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))


def text(words):
    """Words as roff: nothing in them is a request or an escape."""
    words = words.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\n".join(("\\&" + line) if line[:1] in (".", "\\") and line[:2] != "\\-" else line for line in words.split("\n"))


def prose(words):
    """A text with code in backquotes, in paragraphs."""
    paragraphs = []
    for paragraph in words.split("\n\n"):
        parts = re.split(r"`([^`]*)`", " ".join(paragraph.split()))
        paragraphs.append("".join(f"\\fB{text(part)}\\fR" if n % 2 else text(part) for n, part in enumerate(parts)))
    return "\n.PP\n".join(paragraphs)


def value_of(argument):
    # Help shows names in angle brackets, and some close and open one themselves to show two.
    return f"\\fI{text(argument['valueName'].replace('> <', ' '))}\\fR"


def dashed(name):
    return ("-" if name["kind"] != "long" else "--") + name["name"]


def shown(command):
    hidden = ("help", "version")
    return [a for a in command.get("arguments", []) if a["shouldDisplay"] and a["valueName"] not in hidden]


def synopsis(argument):
    value = value_of(argument)
    if argument["kind"] == "positional":
        words = value + ("..." if argument["isRepeating"] else "")
    else:
        words = f"\\fB{text(dashed(argument['preferredName']))}\\fR"
        words += f" {value}" if argument["kind"] == "option" else ""
    return f"[{words}]" if argument["isOptional"] or argument["kind"] == "flag" else words


def option(argument):
    value = value_of(argument)
    if argument["kind"] == "positional":
        head = value
    else:
        head = ", ".join(f"\\fB{text(dashed(name))}\\fR" for name in argument["names"])
        head += f" {value}" if argument["kind"] == "option" else ""
    body = [prose(argument[key]) for key in ("abstract", "discussion") if argument.get(key)]
    if argument.get("allValues") and argument["kind"] != "flag":
        body.append(text("One of " + ", ".join(argument["allValues"]) + "."))
    if argument.get("defaultValue") and argument["kind"] != "flag":
        body.append(text(f"Default: {argument['defaultValue']}."))
    return f".TP\n{head}\n" + "\n".join(body) + "\n"


def usage(path, command):
    words = [f"\\fB{text(' '.join(path))}\\fR"]
    words += [synopsis(a) for a in shown(command)]
    if command.get("subcommands"):
        words.append("\\fIcommand\\fR ...")
    return ".SH SYNOPSIS\n.nh\n" + " ".join(words) + "\n.hy\n"


def options(command):
    given = shown(command)
    positional = "".join(option(a) for a in given if a["kind"] == "positional")
    others = "".join(option(a) for a in given if a["kind"] != "positional")
    return (f".SH ARGUMENTS\n{positional}" if positional else "") + (f".SH OPTIONS\n{others}" if others else "")


def commands(path, command, reference):
    lines = ""
    for sub in command.get("subcommands", []):
        if sub["commandName"] == "help" or not sub.get("shouldDisplay", True):
            continue
        name = " ".join(path[1:] + [sub["commandName"]])
        page = f"\\fB{text('-'.join(path + [sub['commandName']]))}\\fR(1)" if reference else f"\\fB{text(name)}\\fR"
        lines += f".TP\n{page}\n{prose(sub.get('abstract', ''))}\n"
    return f".SH COMMANDS\n{lines}" if lines else ""


def header(name, abstract):
    return (
        f".TH {text(name.upper())} {section} {date} hypeman\n.SH NAME\n{text(name)} \\- "
        f"{text(abstract.rstrip('.'))}\n"
    )


def write(name, page):
    (out / f"{name}.{section}").write_text(page.rstrip("\n") + "\n")


def pages(path, command):
    """Section 1: one page a command."""
    name = "-".join(path)
    page = header(name, command.get("abstract", name)) + usage(path, command)
    page += f".SH DESCRIPTION\n{prose(command.get('abstract', ''))}\n"
    if command.get("discussion"):
        page += f".PP\n{prose(command['discussion'])}\n"
    page += options(command) + commands(path, command, True)
    others = ["hypeman"] if len(path) > 1 else []
    others = [f"\\fB{text(o)}\\fR(1)" for o in others] + ["\\fBhypeman\\-agent\\fR(8)"]
    write(name, page + ".SH SEE ALSO\n" + ", ".join(others) + "\n")
    for sub in command.get("subcommands", []):
        if sub["commandName"] != "help" and sub.get("shouldDisplay", True):
            pages(path + [sub["commandName"]], sub)


def described(path, command, level=0):
    """Section 8: a command and those below it."""
    body = ""
    for sub in command.get("subcommands", []):
        if sub["commandName"] == "help" or not sub.get("shouldDisplay", True):
            continue
        own = path + [sub["commandName"]]
        line = " ".join([text(" ".join(own))] + [synopsis(a) for a in shown(sub)])
        body += f".SS {line}\n{prose(sub.get('abstract', ''))}\n"
        if sub.get("discussion"):
            body += f".PP\n{prose(sub['discussion'])}\n"
        body += "".join(option(a) for a in shown(sub)) + described(own, sub, level + 1)
    return body


def table():
    lines = ""
    for line in variables.splitlines():
        match = re.match(r"\| `(\w+)` \| (.*?) \| (.*) \|$", line)
        if match:
            name, default, summary = match.groups()
            lines += f".TP\n\\fB{name}\\fR" + (f"={text(default)}" if default else "") + f"\n{prose(summary)}.\n"
    return f".SH VARIABLES\n{lines}" if lines else ""


FILES = """.SH FILES
.TP
.I /etc/hypeman/hypeman.env
The configuration, NAME=value a line.
.TP
.I /var/lib/hypeman
Images, disks, logs and state.
.TP
.I /run/hypeman/agent.sock
The HTTP API; members of the group hypeman may use it.
.TP
.I /usr/lib/hypeman
What guests boot: a kernel and its initrd.
"""
UNITS = """.SH UNITS
.TP
.B hypeman\\-agent.service, hypeman\\-agent.socket
The agent. A restart leaves VMs running; \\fBsystemctl reload\\fR reads the configuration anew.
.TP
.BI hypeman\\-vm@ ID .service
A VM, in \\fBhypeman.slice\\fR. To stop the unit asks the guest to end.
.TP
.BI hypeman\\-dnsmasq@ BRIDGE .service
DHCP and DNS of a network.
.PP
\\fBjournalctl HYPEMAN_INSTANCE=\\fINAME\\fR shows what the agent did with an instance, by its name or id.
"""

root = json.load(sys.stdin)["command"]
out.mkdir(parents=True, exist_ok=True)
if section == "1":
    pages([root["commandName"]], root)
else:
    name = root["commandName"]
    page = header(name, root["abstract"]) + usage([name], root)
    page += f".SH DESCRIPTION\n{prose(root['abstract'])}\n.PP\n{prose(root.get('discussion', ''))}\n"
    page += f".SH COMMANDS\n{described([name], root)}"
    page += table() + FILES + UNITS + ".SH SEE ALSO\n\\fBhypeman\\fR(1)\n"
    write(name, page)
