// SPDX-License-Identifier: GPL-2.0-or-later
#include "doctor/diagnosis.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <sstream>
#include <string_view>

#include "elf/object.h"
#include "live/core_module.h"
#include "machine/kernel_log.h"
#include "module/metadata.h"

namespace suture::doctor {

namespace {

constexpr std::size_t most_log_lines = 400;

bool any_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(words, [&](std::string_view word) { return text.contains(word); });
}

std::vector<std::string> command_line(const machine::Machine& machine) {
  std::vector<std::string> out;
  std::istringstream words(first_line(machine.proc / "cmdline"));
  for (std::string word; words >> word;) {
    if (any_of(word, {"suture", "livepatch", "module.", "lockdown", "lsm=", "security=", "kaslr",
                      "ftrace"})) {
      out.push_back(word);
    }
  }
  return out;
}

std::vector<std::string> log_lines(const machine::Machine& machine) {
  std::vector<std::string> out;
  auto log = machine::LogReader::open(machine.log, machine::LogReader::From::oldest);
  while (log) {
    auto record = log->next();
    if (!record) {
      break;
    }
    if (any_of(record->text,
               {"livepatch", "taint", "suture", "Loading of", "module verification", "Lockdown",
                "BUG:", "WARNING:", "Oops", "disagrees about version", "Unknown symbol"})) {
      out.push_back(fmt::format("[{:12.6f}] {}", static_cast<double>(record->microseconds) * 1e-6,
                                record->text));
    }
  }
  if (out.size() > most_log_lines) {
    out.erase(out.begin(), out.end() - most_log_lines);
  }
  return out;
}

// The file system that holds `path`, or what is there of it.
std::optional<Space> space_at(fs::path path) {
  struct statvfs st {};
  while (::statvfs(path.c_str(), &st) != 0) {
    if (!path.has_relative_path()) {
      return std::nullopt;
    }
    path = path.parent_path();
  }
  return Space{.path = path.string(),
               .free_bytes = static_cast<std::uint64_t>(st.f_bavail) * st.f_frsize,
               .read_only = (st.f_flag & ST_RDONLY) != 0};
}

// What is wrong with the core that boot would load for patches of that release.
std::optional<Error> bad_installed_core(const machine::Machine& machine, const boot::Store& store,
                                        const std::string& release) {
  auto found = boot::core_for_boot(machine, store, release);
  if (!found) {
    return found.error();
  }
  const fs::path& core = *found;
  const std::string remedy = live::how_to_install_core(machine, release);
  auto object = elf::ObjectFile::open(core);
  auto facts = object ? module::read_metadata(*object, core.string())
                      : Result<module::Metadata>(std::unexpected(object.error()));
  if (!facts) {
    return Error{Code::bad_module, core.string(), facts.error().reason, remedy};
  }
  if (facts->release != release) {
    return Error{Code::wrong_kernel, core.string(),
                 fmt::format("this core is for {}, not for {}", facts->release, release), remedy};
  }
  return std::nullopt;
}

InstalledRelease installed_release(const machine::Machine& machine, const boot::Store& store,
                                   const std::string& release, Diagnosis& out) {
  InstalledRelease entry{.release = release};
  auto patches = boot::installed_patches(store, release);
  if (!patches) {
    out.problems.push_back(patches.error());
    return entry;
  }
  for (const boot::InstalledPatch& patch : *patches) {
    InstalledState state{.patch = patch, .loaded = boot::patch_enabled(machine, patch.name)};
    if (auto checked = boot::check_installed(store, release, patch); !checked) {
      state.wrong = checked.error();
      out.problems.push_back(checked.error());
    }
    entry.patches.push_back(std::move(state));
  }
  if (!boot::of_core(*patches, machine::suture_core.name).empty()) {
    if (auto wrong = bad_installed_core(machine, store, release)) {
      out.problems.push_back(std::move(*wrong));
    }
  }
  auto guard = boot::read_guard(store, release);
  if (!guard) {
    out.problems.push_back(guard.error());
    return entry;
  }
  entry.guard = std::move(*guard);
  if (auto held = boot::held_back(machine, release, entry.guard, *patches);
      held && release == out.release) {
    out.problems.insert(out.problems.begin(), std::move(*held));
  }
  return entry;
}

// Why systemd could not start the unit that loads patches at boot. Nothing where there is no such
// unit, or it can.
std::optional<Error> broken_boot_unit(const machine::Machine& machine) {
  constexpr std::string_view start = "ExecStart=";
  std::error_code ec;
  for (const fs::path& directory : machine.units) {
    const fs::path unit = directory / "suture.service";
    auto text = read_text(unit);
    if (!text) {
      continue;
    }
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with(start)) {
        continue;
      }
      std::string program = line.substr(start.size(), line.find(' ') - start.size());
      program.erase(0, program.find_first_not_of("@-:+!|"));
      if (!fs::is_regular_file(program, ec) || ::access(program.c_str(), X_OK) != 0) {
        return Error{Code::broken_unit, unit.string(),
                     fmt::format("it starts {}, which is no program that can be run", program),
                     "install Suture again, or correct the unit and run: systemctl daemon-reload"};
      }
    }
    break;
  }
  return std::nullopt;
}

// What should be in force, and is not.
void miss_patches(const InstalledRelease& entry, std::vector<Error>& problems) {
  std::set<std::string> replaced;  // cores, of which a later patch is cumulative
  std::vector<Error> missed;       // the last first
  for (auto it = entry.patches.rbegin(); it != entry.patches.rend(); ++it) {
    if (replaced.contains(it->patch.core)) {
      continue;
    }
    if (it->patch.replace) {
      replaced.insert(it->patch.core);
    }
    if (!it->loaded) {
      missed.push_back(Error{Code::not_loaded, it->patch.name, "it is installed, and not in force",
                             "suture apply"});
    }
  }
  problems.insert(problems.end(), missed.rbegin(), missed.rend());
}

}  // namespace

std::vector<TaintFlag> taint_flags(std::uint64_t bits) {
  static constexpr std::array<std::pair<char, std::string_view>, 19> known{{
      {'P', "a proprietary module was loaded"},
      {'F', "a module was loaded by force"},
      {'S', "the hardware is out of specification"},
      {'R', "a module was unloaded by force"},
      {'M', "the processor reported a machine check"},
      {'B', "a page was in a bad state"},
      {'U', "user space asked for it"},
      {'D', "the kernel died (oops or BUG)"},
      {'A', "an ACPI table was overridden"},
      {'W', "the kernel warned"},
      {'C', "a staging driver was loaded"},
      {'I', "a workaround for a firmware bug is in use"},
      {'O', "a module from outside the kernel was loaded"},
      {'E', "an unsigned module was loaded"},
      {'L', "there was a soft lockup"},
      {'K', "the kernel is live-patched"},
      {'X', "the distribution's own meaning"},
      {'T', "the layout of structures is randomized"},
      {'N', "a test of the kernel was run"},
  }};
  std::vector<TaintFlag> out;
  for (unsigned bit = 0; bit < 64; ++bit) {
    if ((bits >> bit & 1) != 0) {
      out.push_back(bit < known.size() ? TaintFlag{known[bit].first, std::string(known[bit].second)}
                                       : TaintFlag{'?', fmt::format("bit {}", bit)});
    }
  }
  return out;
}

Diagnosis diagnose(const machine::Machine& machine, const boot::Store& store) {
  Diagnosis out;
  out.release = machine::running_release(machine);
  out.version = first_line(machine.proc / "sys" / "kernel" / "version");
  out.build_id = machine::running_build_id(machine, "vmlinux");
  out.command_line = command_line(machine);
  out.livepatch = machine::has_core(machine, machine::livepatch_core);
  out.core = machine::has_core(machine, machine::suture_core);
  out.signing = machine::signing_facts(machine);
  const std::string tainted = first_line(machine.proc / "sys" / "kernel" / "tainted");
  std::uint64_t bits = 0;
  std::from_chars(tainted.data(), tainted.data() + tainted.size(), bits);
  out.taint = taint_flags(bits);
  out.status = live::machine_status(machine).value_or(live::MachineStatus{});
  out.log = log_lines(machine);
  if (!out.livepatch && !out.core) {
    out.problems.push_back(Error{Code::no_livepatch, out.release,
                                 "this kernel has no livepatch core, and Suture's is not loaded",
                                 "use a kernel with CONFIG_LIVEPATCH, or: suture core load"});
  }
  if (first_line(machine.proc / "sys" / "kernel" / "ftrace_enabled") == "0") {
    out.problems.push_back(Error{Code::ftrace_off, "kernel.ftrace_enabled",
                                 "it is 0: no patch can redirect a function",
                                 "sysctl kernel.ftrace_enabled=1"});
  }
  if (auto broken = broken_boot_unit(machine)) {
    out.problems.push_back(std::move(*broken));
  }
  for (const std::string& release : boot::installed_releases(store)) {
    out.installed.push_back(installed_release(machine, store, release, out));
    if (release == out.release && !boot::switched_off(machine)) {
      miss_patches(out.installed.back(), out.problems);
    }
  }
  for (const fs::path& path : {store.directory, temporary_directory()}) {
    if (auto space = space_at(path)) {
      out.space.push_back(std::move(*space));
    }
  }
  return out;
}

}  // namespace suture::doctor
