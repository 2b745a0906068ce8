// SPDX-License-Identifier: GPL-2.0-or-later
//
// status_bench [PATCHES [FUNCTIONS]]: the CPU time that one look at a machine takes that has so
// many patches of so many functions (100 of 100), and what of it is spent on reading the same files
// alone. The machine is a directory.
#include <fmt/format.h>

#include <cstdlib>

#include "cpu_time.h"
#include "live/status.h"

namespace {

using namespace suture;

Status put(const fs::path& path, std::string_view text) {
  TRY(make_directories(path.parent_path()));
  return write_file(path, text);
}

// One patch; gives what ftrace says of its functions.
Result<std::string> add_patch(const machine::Machine& machine, int number, int functions) {
  module::Metadata metadata{.name = fmt::format("patch_{}", number), .version = "3"};
  metadata.cves = {fmt::format("CVE-2026-{}", 1000 + number)};
  metadata.objects = {{.name = "vmlinux", .build_id = "00", .functions = {}}};
  const fs::path patch = machine.sys / "kernel" / "livepatch" / metadata.name;
  const fs::path module = machine.sys / "module" / metadata.name;
  TRY(put(patch / "enabled", "1\n"));
  TRY(put(patch / "transition", "0\n"));
  TRY(put(patch / "vmlinux" / "patched", "1\n"));
  TRY(put(module / "refcnt", "1\n"));
  TRY(put(module / "taint", "OEK\n"));
  std::string enabled;
  for (int i = 0; i < functions; ++i) {
    const std::string name = fmt::format("function_{}_{}", number, i);
    metadata.objects[0].functions.push_back({.name = name, .source = "fs/some_file.c"});
    TRY(make_directories(patch / "vmlinux" / (name + ",1")));
    enabled += name + " (1) R I     \ttramp: 0xffffffffc0000000 (klp_ftrace_handler+0x0/0x1)\n";
  }
  TRY(put(module / "notes" / module::note_section, as_text(module::to_note(metadata))));
  return enabled;
}

Status run(int patches, int functions) {
  const TempDir directory = TRY(TempDir::create(fs::temp_directory_path(), "suture-status-bench"));
  const machine::Machine machine{.sys = directory.path() / "sys",
                                 .proc = directory.path() / "proc",
                                 .log = directory.path() / "kmsg",
                                 .run = directory.path() / "run",
                                 .modules = directory.path() / "modules"};
  std::string enabled;
  for (int i = 0; i < patches; ++i) {
    enabled += TRY(add_patch(machine, i, functions));
  }
  TRY(put(machine.sys / "kernel/debug/kprobes/list", ""));
  TRY(put(machine.sys / "kernel/tracing/available_filter_functions", "f\n"));
  TRY(put(machine.sys / "kernel/tracing/enabled_functions", enabled));
  double whole = 1e9, patches_only = 1e9;
  for (int i = 0; i < 7; ++i) {  // the least is what it costs when nothing disturbs it
    double start = cpu_ms();
    TRY(live::machine_status(machine));
    whole = std::min(whole, cpu_ms() - start);
    start = cpu_ms();
    TRY(machine::loaded_patches(machine));
    patches_only = std::min(patches_only, cpu_ms() - start);
  }
  fmt::print("{} patches of {} functions: {:.1f} ms, of which the patches' own files {:.1f} ms\n",
             patches, functions, whole, patches_only);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const auto status = run(argc > 1 ? std::atoi(argv[1]) : 100, argc > 2 ? std::atoi(argv[2]) : 100);
  if (!status) {
    fmt::print(stderr, "{}: {}\n", status.error().where, status.error().reason);
  }
  return status ? 0 : 1;
}
