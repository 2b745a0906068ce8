// SPDX-License-Identifier: GPL-2.0-or-later
#include "check/kernel_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "check/shared_checks.h"
#include "elf/object.h"
#include "kernel/module_image.h"
#include "kernel/symvers.h"

namespace suture::check {

namespace {

Check unknown(std::string id, std::string detail, std::string remedy) {
  return {.id = std::move(id),
          .verdict = Verdict::unknown,
          .detail = std::move(detail),
          .remedy = std::move(remedy)};
}

using Counts = std::map<std::pair<std::string, std::string>, std::uint32_t>;

// How often each name of interest is in the object, out of lines whose name is the word number
// `word`, behind which a module's name may follow in brackets. There are hundreds of thousands.
bool count_names(const fs::path& path, int word, Counts& counts) {
  std::set<std::string_view> names;
  for (const auto& [symbol, count] : counts) {
    names.insert(symbol.second);
  }
  auto text = read_text(path);
  std::string_view rest = text ? std::string_view(*text) : std::string_view{};
  const bool any = !rest.empty();
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    for (int i = 0; i < word; ++i) {
      line.remove_prefix(std::min(line.size(), line.find(' ') + 1));
    }
    const std::string_view name = line.substr(0, line.find_first_of(" \t"));
    if (!names.contains(name)) {
      continue;
    }
    const std::size_t open = line.find('[');
    const std::string module(open == std::string_view::npos
                                 ? "vmlinux"
                                 : line.substr(open + 1, line.find(']') - open - 1));
    auto it = counts.find({module, std::string(name)});
    if (it != counts.end()) {
      ++it->second;
    }
  }
  return any;
}

bool is_there(const machine::Machine& machine, const std::string& object) {
  return object == "vmlinux" || machine::module_loaded(machine, object);
}

Check running_symbols_check(const machine::Machine& machine, const module::Metadata& metadata) {
  const std::vector<Wanted> wanted = wanted_symbols(metadata);
  Counts counts;
  for (const Wanted& symbol : wanted) {
    counts[{symbol.object, symbol.name}] = 0;
  }
  if (!count_names(machine.proc / "kallsyms", 2, counts)) {
    return unknown("symbols", "/proc/kallsyms cannot be read", "run it as root");
  }
  return symbols_check(
      wanted, [&](const std::string& object) { return is_there(machine, object); },
      [&](const std::string& object, const std::string& name) {
        return counts.at({object, name});
      });
}

Check entries_check(const machine::Machine& machine, const module::Metadata& metadata) {
  Counts counts;
  for (const module::PatchedObject& object : metadata.objects) {
    for (const module::PatchedFunction& function : object.functions) {
      if (!function.is_new && is_there(machine, object.name)) {
        counts[{object.name, function.name}] = 0;
      }
    }
  }
  const fs::path tracing = machine::tracing_directory(machine);
  if (tracing.empty() || !count_names(tracing / "available_filter_functions", 0, counts)) {
    return unknown("entries", "available_filter_functions cannot be read",
                   "run it as root, with tracefs at /sys/kernel/tracing");
  }
  std::vector<std::string> wrong;
  for (const auto& [function, count] : counts) {
    if (count == 0) {
      wrong.push_back(fmt::format("{} has no entry for ftrace", function.second));
    }
  }
  return verdict_on("entries", wrong,
                    fmt::format("ftrace can redirect every function ({})", counts.size()),
                    "build the patch for this very kernel");
}

// struct modversion_info of include/linux/module.h: a long and a name of 56 bytes.
std::map<std::string, std::uint32_t> import_versions(const elf::ObjectFile& object) {
  constexpr std::uint64_t entry = 64;
  std::map<std::string, std::uint32_t> out;
  const elf::Section* section = object.section("__versions");
  const ByteView data = section == nullptr ? ByteView{} : section->data;
  for (std::uint64_t at = 0; at + entry <= data.size(); at += entry) {
    const auto crc = read_le<std::uint32_t>(data, at);
    std::string name(as_text(*slice(data, at + 8, entry - 8)));
    name.resize(std::min(name.find('\0'), name.size()));
    out.emplace(std::move(name), *crc);
  }
  return out;
}

Check imports_check(const machine::Machine& machine, const fs::path& module,
                    const module::Metadata& metadata) {
  const fs::path file =
      machine.modules / machine::running_release(machine) / "build" / "Module.symvers";
  auto symvers = kernel::Symvers::open(file);
  if (!symvers) {
    return unknown("imports", fmt::format("{} is not there", file.string()),
                   "nothing: the kernel compares the CRCs when it loads the patch");
  }
  auto object = elf::ObjectFile::open(module);
  std::vector<std::string> wrong;
  const auto versions = object ? import_versions(*object) : std::map<std::string, std::uint32_t>{};
  for (const auto& [name, crc] : versions) {
    if (metadata.core == module::Core::suture && name.starts_with("suture_")) {
      continue;  // an export of the core, not of the kernel
    }
    const kernel::Export* known = symvers->find(name);
    if (known == nullptr) {
      wrong.push_back(fmt::format("the kernel exports no {}", name));
    } else if (known->crc != crc) {
      wrong.push_back(fmt::format("{} has the CRC {:08x}, not {:08x}", name, known->crc, crc));
    }
  }
  return verdict_on("imports", wrong,
                    fmt::format("every CRC is the kernel's ({})", versions.size()),
                    "build the patch for this very kernel");
}

Check vermagic_check(const machine::Machine& machine, const module::Metadata& metadata) {
  auto directory =
      kernel::ModuleDirectory::open(machine.modules / machine::running_release(machine));
  if (!directory || directory->all().empty()) {
    return unknown("vermagic", "no module of the running kernel is installed to compare with",
                   "nothing: the kernel compares it when it loads the patch");
  }
  auto other = kernel::ModuleImage::open(directory->all().begin()->second);
  if (!other) {
    return unknown("vermagic", other.error().reason,
                   "nothing: the kernel compares it when it loads the patch");
  }
  // Blanks at the end differ between builders.
  const auto trimmed = [](std::string text) {
    text.resize(text.find_last_not_of(' ') + 1);
    return text;
  };
  std::vector<std::string> wrong;
  if (trimmed(other->vermagic()) != trimmed(metadata.vermagic)) {
    wrong.push_back(fmt::format("it says '{}', and the kernel's own modules '{}'",
                                metadata.vermagic, other->vermagic()));
  }
  return verdict_on("vermagic", wrong, metadata.vermagic, "build the patch for this very kernel");
}

}  // namespace

std::vector<Check> kernel_checks(const machine::Machine& machine, const fs::path& module,
                                 const module::Metadata& metadata) {
  return {vermagic_check(machine, metadata), running_symbols_check(machine, metadata),
          entries_check(machine, metadata), imports_check(machine, module, metadata)};
}

}  // namespace suture::check
