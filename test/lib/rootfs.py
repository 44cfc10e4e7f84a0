# SPDX-License-Identifier: Apache-2.0
"""Root file systems that tests make images of."""
import os
import shutil
import subprocess
import tarfile


def busybox_tar(path):
    """A root file system of Debian's busybox-static with a link per applet."""
    stage = path + ".d"
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
        os.makedirs(f"{stage}/{name}")
    shutil.copy(shutil.which("busybox"), f"{stage}/bin/busybox")
    applets = subprocess.run([f"{stage}/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout
    for applet in applets.split():
        if applet != "busybox":
            os.symlink("busybox", f"{stage}/bin/{applet}")
    with open(f"{stage}/etc/passwd", "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/tmp:/bin/sh\n")
    with open(f"{stage}/etc/group", "w") as f:
        f.write("root:x:0:\nweb:x:44:\nstaff:x:50:web\n")
    with tarfile.open(path, "w") as tar:
        tar.add(stage, ".")
    shutil.rmtree(stage)
