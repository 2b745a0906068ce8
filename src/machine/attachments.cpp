// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: find what would get in the way of a patch, or silently takes its effect away, among all
// that can be attached to a function. Method: each kind has a list of its own in the kernel; each
// is read once and searched for the functions. What an attachment means follows from how ftrace
// calls its users (kernel/trace/ftrace.c): the redirection of a patch and of a kprobe with a
// post handler exclude each other (IPMODIFY); a probe at the entry is called beside the
// redirection; one further inside lies in code that no longer runs; fmod_ret and fail_function may
// end the function before it begins. Invariant: a list that cannot be read is named, never taken
// for empty.
#include "machine/attachments.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "machine/bpf_links.h"
#include "machine/directory.h"

namespace suture::machine {

namespace {

class Search {
 public:
  Search(const Machine& machine, const std::vector<PatchedObject>& objects,
         const std::vector<LoadedPatch>& patches)
      : machine_(machine) {
    add_names(objects, functions_);
    for (const LoadedPatch& patch : patches) {
      add_names(patch.objects, redirected_);
    }
  }

  Attachments all() && {
    if (!functions_.empty()) {
      kprobes();
      ftrace_users();
      bpf();
      error_injection();
    }
    std::ranges::stable_sort(out_.found, {}, &Attachment::function);
    return std::move(out_);
  }

 private:
  std::optional<std::string> read(const fs::path& path, const char* name) {
    auto text = read_text(path);
    if (!text) {
      out_.unreadable.emplace_back(name);
      return std::nullopt;
    }
    return std::move(*text);
  }

  // Function → objects. The views are of what the caller holds: there may be tens of thousands.
  using Names = std::unordered_multimap<std::string_view, std::string_view>;

  static void add_names(const std::vector<PatchedObject>& objects, Names& names) {
    for (const PatchedObject& object : objects) {
      for (const RedirectedFunction& function : object.functions) {
        names.emplace(function.name, object.name);
      }
    }
  }

  // `module` is empty for vmlinux.
  static bool has(const Names& names, std::string_view function, std::string_view module) {
    auto [first, last] = names.equal_range(function);
    return std::any_of(first, last, [&](const auto& it) {
      return it.second == (module.empty() ? "vmlinux" : module);
    });
  }

  void add(std::string_view function, std::string_view module, std::string what, Effect effect) {
    if (has(functions_, function, module)) {
      out_.found.push_back(Attachment{.object = std::string(module.empty() ? "vmlinux" : module),
                                      .function = std::string(function),
                                      .what = std::move(what),
                                      .effect = effect});
    }
  }

  // "ffffffff81234560  k  vfs_read+0x0  [FTRACE]", with the module's name before the flags.
  void kprobes() {
    auto text = read(machine_.sys / "kernel/debug/kprobes/list", "kprobes");
    std::istringstream lines(text.value_or(""));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string address, kind, symbol, module, flags;
      words >> address >> kind >> symbol >> module >> flags;
      if (module.starts_with('[')) {
        std::swap(module, flags);
        module.clear();
      }
      const std::size_t plus = symbol.find('+');
      if (plus == std::string::npos || flags.find("[DISABLED]") != std::string::npos ||
          flags.find("[GONE]") != std::string::npos) {
        continue;
      }
      const std::string what =
          fmt::format("a {} at {}", kind == "r" ? "kretprobe" : "kprobe", symbol.substr(plus));
      const std::string function = symbol.substr(0, plus);
      if (flags.find("[FTRACE]") == std::string::npos) {
        add(function, module, what, Effect::silenced);
      } else if (overridable(function)) {
        add(function, module, what + ", where BPF may override the return", Effect::wins);
      } else {
        add(function, module, what, Effect::beside);
      }
    }
  }

  // Whether the kernel lets the function's return be overridden (bpf_override_return). Only test
  // kernels do; whether a probe's program makes use of it cannot be seen.
  bool overridable(const std::string& function) const {
    const std::string text =
        '\n' + read_text(machine_.sys / "kernel/debug/error_injection/list").value_or("");
    return text.find('\n' + function + '\t') != std::string::npos;
  }

  // "vfs_read [MODULE] (1) R I D \ttramp: ...": the flags are between the count and a tab.
  void ftrace_users() {
    auto text = read(tracing_directory(machine_) / "enabled_functions", "ftrace");
    std::string_view rest = text ? std::string_view(*text) : std::string_view{};
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      const std::size_t count_end = line.find(')');
      if (count_end == std::string_view::npos || line.starts_with('\t')) {
        continue;
      }
      const std::string_view flags =
          line.substr(count_end + 1, line.find('\t', count_end) - count_end - 1);
      const std::string_view function = line.substr(0, line.find(' '));
      const std::size_t open = line.find('[');
      const std::string_view module = open < count_end
                                          ? line.substr(open + 1, line.find(']', open) - open - 1)
                                          : std::string_view{};
      // By a patch of either core it is known where.
      if (flags.find('I') != std::string_view::npos && !has(redirected_, function, module)) {
        add(function, module, "another redirection (IPMODIFY), by no patch", Effect::refuses);
      }
    }
  }

  void bpf() {
    auto links = bpf_links();
    if (!links) {
      out_.unreadable.emplace_back("BPF");
      return;
    }
    for (const BpfLink& link : *links) {
      auto [first, last] = functions_.equal_range(link.function);
      for (; first != last; ++first) {
        add(link.function, first->second == "vmlinux" ? std::string_view{} : first->second,
            fmt::format("a BPF program of the type {} (id {})", link.type, link.program),
            link.type == "fmod_ret" ? Effect::wins : Effect::beside);
      }
    }
  }

  // Only test kernels have it.
  void error_injection() {
    const fs::path list = machine_.sys / "kernel/debug/fail_function/inject";
    std::istringstream lines(read_text(list).value_or(""));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string function, module;
      words >> function >> module;
      add(function, module.empty() ? module : module.substr(1, module.find(']') - 1),
          "fail_function, which makes it fail", Effect::wins);
    }
  }

  const Machine& machine_;
  Names functions_;   // of the patch
  Names redirected_;  // by any patch that is loaded
  Attachments out_;
};

}  // namespace

std::string_view effect_word(Effect effect) {
  switch (effect) {
    case Effect::beside: return "beside";
    case Effect::silenced: return "silenced";
    case Effect::wins: return "wins";
    case Effect::refuses: return "refuses";
  }
  return "";
}

Attachments attachments(const Machine& machine, const std::vector<PatchedObject>& objects,
                        const std::vector<LoadedPatch>& patches) {
  return Search(machine, objects, patches).all();
}

fs::path tracing_directory(const Machine& machine) {
  for (const char* place : {"kernel/tracing", "kernel/debug/tracing"}) {
    std::error_code ec;
    if (fs::exists(machine.sys / place / "available_filter_functions", ec)) {
      return machine.sys / place;
    }
  }
  return {};
}

}  // namespace suture::machine
