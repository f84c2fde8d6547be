#!/usr/bin/env python3
"""extract-vmlinux.py VMLINUZ VMLINUX: unpacks the ELF image that an x86 bzImage carries.

Where the payload lies is written in the image's header (Linux, Documentation/x86/boot.rst: payload_offset and
payload_length from protocol 2.08 on), so nothing is searched for.
"""
import os
import struct
import subprocess
import sys

# First bytes of the formats that a kernel can be compressed with, and the program that unpacks each.
FORMATS = [
    (b"\x02\x21\x4c\x18", ["lz4", "-d", "-c"]),
    (b"\x28\xb5\x2f\xfd", ["zstd", "-d", "-c"]),
    (b"\xfd7zXZ\x00", ["xz", "-d", "-c", "--single-stream"]),
    (b"\x1f\x8b", ["gzip", "-d", "-c"]),
    (b"BZh", ["bzip2", "-d", "-c"]),
]


def payload(image):
    if image[0x202:0x206] != b"HdrS":
        sys.exit("extract-vmlinux.py: not a bzImage")
    version, = struct.unpack_from("<H", image, 0x206)
    if version < 0x0208:
        sys.exit("extract-vmlinux.py: the image is too old to say where its payload is")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1F1] or 4) + 1) * 512 + offset
    # The last four bytes are the unpacked size, which the kernel's build appends.
    data = image[start:start + length]
    return data[:-4], struct.unpack("<I", data[-4:])[0]


def unpack(data, size):
    if data.startswith(b"\x7fELF"):
        return data
    for magic, command in FORMATS:
        if not data.startswith(magic):
            continue
        try:
            # lz4's old format has no end mark: the tool unpacks everything and then reports the end as an error.
            result = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        except FileNotFoundError:
            sys.exit(f"extract-vmlinux.py: {command[0]} is needed to unpack this kernel")
        if len(result.stdout) < size or not result.stdout.startswith(b"\x7fELF"):
            sys.exit(f"extract-vmlinux.py: {command[0]}: {result.stderr.decode(errors='replace').strip() or 'no ELF image'}")
        return result.stdout
    sys.exit("extract-vmlinux.py: unknown compression")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: extract-vmlinux.py VMLINUZ VMLINUX")
    with open(sys.argv[1], "rb") as file:
        data, size = payload(file.read())
    image = unpack(data, size)
    temporary = sys.argv[2] + ".part"
    with open(temporary, "wb") as file:
        file.write(image)
    os.replace(temporary, sys.argv[2])


main()
