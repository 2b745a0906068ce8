// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/tools.h"

#include <fmt/format.h>

#include <array>

#include "base/process.h"
#include "base/text.h"

namespace suture::cli {

namespace {

struct Needed {
  Purpose purpose;
  const char* name;  // of a program
  const char* package;
};

// setup installs the same; README.md names the packages. Compilers and what kbuild calls are
// fetched with a kernel where the machine lacks them.
constexpr std::array needed = std::to_array<Needed>({
    {Purpose::build, "bwrap", "bubblewrap"},
    {Purpose::build, "mmdebstrap", "mmdebstrap"},
    {Purpose::build, "patch", "patch"},
    {Purpose::test, "qemu-system-x86_64", "qemu-system-x86"},
    {Purpose::test, "busybox", "busybox-static"},
    {Purpose::machine, "systemctl", "systemd"},
});

// The first line that has something in it.
std::string first_words(std::string_view text) {
  std::string out;
  for_each_line(text, [&](std::string_view line) {
    if (out.empty()) {
      out = line;
    }
  });
  return out;
}

std::string version_of(const Needed& it) {
  const auto program = find_program(it.name, it.package);
  if (!program) {
    return {};
  }
  const auto ran = run({.argv = {program->string(), "--version"}});
  const std::string version = ran && ran->exit_status == 0 ? first_words(ran->out) : "";
  return version.empty() ? "installed" : version;
}

}  // namespace

std::vector<Tool> find_tools() {
  std::vector<Tool> out;
  for (const Needed& it : needed) {
    out.push_back({it.purpose, it.name, it.package, version_of(it)});
  }
  return out;
}

std::string purpose_name(Purpose purpose) {
  switch (purpose) {
    case Purpose::build: return "build";
    case Purpose::test: return "test";
    case Purpose::machine: return "machine";
  }
  return {};
}

std::string tools_text(const std::vector<Tool>& tools) {
  std::string out;
  for (const Purpose purpose : {Purpose::build, Purpose::test, Purpose::machine}) {
    std::string missing;
    for (const Tool& tool : tools) {
      if (tool.purpose == purpose) {
        out += fmt::format("{:<12} {}  {}\n", "for " + purpose_name(purpose), tool.name,
                           tool.version.empty() ? "not installed" : tool.version);
        missing += tool.version.empty() ? " " + tool.package : "";
      }
    }
    if (!missing.empty()) {
      out += fmt::format("{:<12} to install what is missing: apt-get install{}\n", "", missing);
    }
  }
  return out;
}

}  // namespace suture::cli
