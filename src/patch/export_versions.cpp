// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a patch may give an exported function another prototype, or a type in it another form.
// Callers of this diff are compiled anew; modules that the diff does not name, and modules from
// elsewhere, call the old one.
//
// Method: the kernel tells prototypes apart by the CRC that genksyms makes of each export and of
// every type that it reaches. The kernel's own genksyms reads what the preprocessor makes of the
// patched file, as kbuild has it, and its numbers are compared with Module.symvers, which states
// those of the running kernel. Only where one differs is the unpatched file read too, which is
// another one where the export moves: if that differs as well, the fault is not the patch's. If it
// does not, what genksyms made the two numbers of is compared (export_types.h): knowing more of a
// type changes the number, and no prototype.
//
// Invariant: a number that cannot be had is an error, never "the same".
#include "patch/export_versions.h"

#include <fmt/format.h>

#include <charconv>
#include <map>

#include "base/digest.h"
#include "base/process.h"
#include "base/text.h"
#include "kernel/prepare.h"
#include "kernel/toolchain.h"
#include "patch/export_types.h"

namespace suture::patch {

namespace {

using Versions = std::map<std::string, std::uint32_t, std::less<>>;

struct Exports {
  Versions versions;
  ExportTypes types;
};

std::unexpected<Error> cannot_tell(const source::CompileCommand& command, std::string reason) {
  return fail(Code::prepare_failed, command.source, std::move(reason),
              "remove the kernel from the cache and add it again");
}

// "#SYMVER name 0x01234567", one a line, between genksyms' warnings.
Result<Versions> read_versions(const source::CompileCommand& command, std::string_view output) {
  constexpr std::string_view mark = "#SYMVER ";
  Versions out;
  while (!output.empty()) {
    std::string_view line = output.substr(0, output.find('\n'));
    output.remove_prefix(std::min(output.size(), line.size() + 1));
    if (!line.starts_with(mark)) {
      continue;
    }
    line.remove_prefix(mark.size());
    const std::size_t space = line.find(" 0x");
    std::uint32_t crc = 0;
    if (space == std::string_view::npos ||
        std::from_chars(line.data() + space + 3, line.data() + line.size(), crc, 16).ec !=
            std::errc{}) {
      return cannot_tell(command, fmt::format("genksyms said '{}'", line));
    }
    out.emplace(line.substr(0, space), crc);
  }
  return out;
}

// The versions of what the file exports, as it is in `directory`: the tree or its shadow.
Result<Exports> exports_in(const kernel::Kernel& kernel, const source::CompileCommand& command,
                           const fs::path& directory, const WorkPlace& place) {
  const fs::path text =
      place.objects /
      (sha256_hex(as_bytes(directory.string() + command.source)).substr(0, 32) + ".i");
  std::vector<std::string> preprocess = options_of(command);
  preprocess.insert(preprocess.end(),
                    {"-E", "-D__GENKSYMS__", "-o", text.string(), command.source});
  TRY(run_checked(
      kernel::in_toolchain(kernel, {.argv = preprocess, .directory = directory}, place.objects),
      Code::does_not_compile, command.source, "correct the diff"));
  fs::path types = text;
  types.replace_extension(".types");
  const fs::path program = kernel.source / "scripts/genksyms/genksyms";
  if (!fs::exists(program)) {
    return cannot_tell(command, fmt::format("{} is missing", program.string()));
  }
  Finished finished = TRY(run_checked(
      kernel::in_toolchain(
          kernel,
          {.argv = {program.string(), "-r", "/dev/null", "-T", types.string()}, .input = text},
          place.objects),
      Code::prepare_failed, command.source, "check the source tree"));
  Exports out{.versions = TRY(read_versions(command, finished.out)),
              .types = ExportTypes(TRY(read_text(types)))};
  std::error_code ec;
  fs::remove(text, ec);
  fs::remove(types, ec);
  return out;
}

// Without CONFIG_MODVERSIONS exports are bound by name alone, and Module.symvers has no numbers:
// then only the two sides can be compared.
Result<bool> has_versions(const kernel::Kernel& kernel) {
  return kernel::has_option(TRY(read_text(kernel.config)), "CONFIG_MODVERSIONS");
}

std::string as_crc(std::uint32_t crc) { return fmt::format("{:#010x}", crc); }

// "a, b, c and 7 more"
std::string some_of(const std::vector<std::string_view>& names) {
  constexpr std::size_t most = 4;
  return listed(names, names.size() <= most ? most : most - 1);
}

Error changed(const std::vector<std::string_view>& names, const ExportChange& change) {
  constexpr std::string_view callers = "modules that were built for this kernel";
  if (change.what.empty()) {
    return Error{Code::export_changed, some_of(names),
                 fmt::format("its prototype was '{}' and is '{}': {} call it as it was",
                             change.before, change.after, callers),
                 "keep the prototype, and put the change into a new function that is not exported"};
  }
  return Error{Code::export_changed, some_of(names),
               fmt::format("{}, which {} reach{}, had '{}' and has '{}': {} know it as it was",
                           change.what, names.size() == 1 ? "it" : "they",
                           names.size() == 1 ? "es" : "", change.before, change.after, callers),
               fmt::format("leave {} as it is, or keep it out of what exports reach", change.what)};
}

Error foreign(std::string_view name, std::uint32_t theirs, std::uint32_t ours) {
  return Error{Code::run_pre_mismatch, std::string(name),
               fmt::format("the kernel exports it with the CRC {}, and its unpatched source gives "
                           "{}",
                           as_crc(theirs), as_crc(ours)),
               "check the config and the source version against the kernel's"};
}

}  // namespace

Result<std::vector<Error>> changed_exports(const kernel::Kernel& kernel, const Unit& unit,
                                           const std::vector<KeptExport>& exports,
                                           const kernel::Symvers& symvers, const WorkPlace& place) {
  std::vector<Error> out;
  if (exports.empty()) {
    return out;
  }
  const bool versions = TRY(has_versions(kernel));
  const Exports post = TRY(exports_in(kernel, unit.command, place.shadow, place));
  std::map<const Unit*, Exports> before_diff;
  // Many exports reach one type: told once.
  std::map<ExportChange, std::vector<std::string_view>> changes;
  for (const auto& [name, exporter] : exports) {
    const kernel::Export* shipped = symvers.find(name);
    auto after = post.versions.find(name);
    if (shipped == nullptr) {
      continue;  // new, and left out
    }
    if (after == post.versions.end()) {
      return cannot_tell(unit.command, fmt::format("genksyms gives no CRC for {}", name));
    }
    if (versions && after->second == shipped->crc) {
      continue;
    }
    auto pre = before_diff.find(exporter);
    if (pre == before_diff.end()) {
      pre = before_diff
                .emplace(exporter, TRY(exports_in(kernel, exporter->command, kernel.source, place)))
                .first;
    }
    auto before = pre->second.versions.find(name);
    const bool known = before != pre->second.versions.end();
    if (versions && known && before->second != shipped->crc) {
      out.push_back(foreign(name, shipped->crc, before->second));
    } else if (!known || before->second != after->second) {
      if (auto change = export_change(pre->second.types, post.types, name)) {
        changes[*change].push_back(name);
      }
    }
  }
  for (const auto& [change, names] : changes) {
    out.push_back(changed(names, change));
  }
  return out;
}

}  // namespace suture::patch
