// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: find what would get in the way of a patch, or silently takes its effect away, among all
// that can be attached to a function. Method: each kind has a list of its own in the kernel; each
// is read once and searched for the functions. What an attachment means follows from how ftrace
// calls its users (kernel/trace/ftrace.c): the redirection of a patch and of a kprobe with a
// post handler exclude each other (IPMODIFY), and so do a redirection and a direct call that is not
// BPF's; a probe at the entry is called beside the redirection; one further inside lies in code
// that no longer runs, which Suture's core refuses to bring about; fmod_ret, BPF LSM and
// fail_function may end the function before it begins. Whoever else ftrace calls for the function
// is counted. Invariants: a list that cannot be read is named, never taken for empty; nothing that
// is at a function is left out, however harmless.
#include "machine/attachments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "machine/bpf_links.h"
#include "machine/ftrace_uses.h"

namespace suture::machine {

namespace {

class Search {
 public:
  Search(const Machine& machine, const std::vector<PatchedObject>& objects,
         const std::vector<LoadedPatch>& patches, const Core* loading)
      : machine_(machine), loading_(loading) {
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
    for_each_line(text.value_or(""), [&](std::string_view line) {
      std::istringstream words{std::string(line)};
      std::string address, kind, symbol, module, flags;
      words >> address >> kind >> symbol >> module >> flags;
      if (module.starts_with('[')) {
        std::swap(module, flags);
        module.clear();
      }
      const std::size_t plus = symbol.find('+');
      if (plus != std::string::npos && flags.find("[GONE]") == std::string::npos) {
        kprobe(kind, symbol.substr(0, plus), symbol.substr(plus), module, flags);
      }
    });
  }

  void kprobe(const std::string& kind, const std::string& function, const std::string& offset,
              const std::string& module, const std::string& flags) {
    if (!has(functions_, function, module)) {
      return;
    }
    const bool disabled = flags.find("[DISABLED]") != std::string::npos;
    const bool by_ftrace = flags.find("[FTRACE]") != std::string::npos;
    const std::string what =
        fmt::format("a {}{} at {}{}", disabled ? "disabled " : "",
                    kind == "r" ? "kretprobe" : "kprobe", offset, event_of(function, offset));
    if (by_ftrace && !disabled) {
      probed_.emplace(function, module);
    }
    if (loading_ == &suture_core) {
      add(function, module, what, Effect::refuses);
    } else if (disabled) {
      add(function, module, what, Effect::beside);
    } else if (!by_ftrace) {
      add(function, module, what, Effect::silenced);
    } else if (overridable(function)) {
      add(function, module, what + ", where BPF may override the return", Effect::wins);
    } else {
      add(function, module, what, Effect::beside);
    }
  }

  // Of kprobe_events: "p:GROUP/NAME [MODULE:]SYMBOL[+OFFSET] ...". Others do not say whose they
  // are.
  std::string event_of(const std::string& function, const std::string& offset) {
    if (!events_) {
      events_ = read_text(tracing_directory(machine_) / "kprobe_events").value_or("");
    }
    const unsigned long wanted = std::strtoul(offset.c_str() + 1, nullptr, 16);
    std::string found;
    for_each_line(*events_, [&](std::string_view line) {
      std::istringstream words{std::string(line)};
      std::string event, place;
      words >> event >> place;
      place.erase(0, place.find(':') == std::string::npos ? 0 : place.find(':') + 1);
      const std::size_t plus = std::min(place.find('+'), place.size());
      if (place.substr(0, plus) == function &&
          std::strtoul(place.c_str() + std::min(plus + 1, place.size()), nullptr, 10) == wanted) {
        found = fmt::format(" (the event {})", event.substr(event.find(':') + 1));
      }
    });
    return found;
  }

  // Whether the kernel lets the function's return be overridden (bpf_override_return). Only test
  // kernels do; whether a probe's program makes use of it cannot be seen.
  bool overridable(const std::string& function) {
    if (!overridable_) {
      overridable_ =
          '\n' + read_text(machine_.sys / "kernel/debug/error_injection/list").value_or("");
    }
    return overridable_->find('\n' + function + '\t') != std::string::npos;
  }

  void ftrace_users() {
    const auto uses = ftrace_uses(machine_);
    if (!uses) {
      out_.unreadable.emplace_back("ftrace");
      return;
    }
    for (const FtraceUse& use : *uses) {
      if (has(functions_, use.function, use.module)) {
        ftrace_user(use);
      }
    }
  }

  void ftrace_user(const FtraceUse& use) {
    const bool patched = has(redirected_, use.function, use.module);
    const bool probed = probed_.contains({use.function, use.module});
    const bool bpf = use.target.starts_with("bpf_trampoline");
    if (use.redirects && !patched) {
      add(use.function, use.module,
          probed ? "a kprobe with a post handler (IPMODIFY)"
                 : fmt::format("another redirection (IPMODIFY), by {}",
                               use.callback.empty() ? "no patch" : use.callback),
          Effect::refuses);
    }
    // A settled patch of Suture's core is a direct call, too.
    if (use.direct && !bpf && !patched) {
      add(use.function, use.module,
          fmt::format("a direct call to {}", use.target.empty() ? "no one knows whom" : use.target),
          Effect::refuses);
    }
    const long known = (use.redirects ? 1 : 0) + (use.direct ? 1 : 0) +
                       (probed && (patched || !use.redirects) ? 1 : 0);
    if (use.users > known) {
      add(use.function, use.module, tracers(use.users - known), Effect::beside);
    }
  }

  // Whom else ftrace calls.
  std::string tracers(long count) {
    if (!tracers_on_) {
      tracers_on_ = tracers_on();
    }
    return fmt::format("{} that only {} (a tracer, fprobe, kprobe_multi or perf{})",
                       count == 1 ? "1 user of ftrace" : fmt::format("{} users of ftrace", count),
                       count == 1 ? "looks on" : "look on", *tracers_on_);
  }

  // Which function is whose ftrace only tells of the main tracer.
  std::string tracers_on() const {
    std::string names;
    const std::string tracer = first_line(tracing_directory(machine_) / "current_tracer");
    if (!tracer.empty() && tracer != "nop") {
      names += fmt::format("; the tracer {} is on", tracer);
    }
    if (first_line(machine_.proc / "sys/kernel/stack_tracer_enabled") == "1") {
      names += "; the stack tracer is on";
    }
    return names;
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
            link.type == "fmod_ret" || link.type == "lsm" ? Effect::wins : Effect::beside);
      }
    }
  }

  // Only test kernels have it.
  void error_injection() {
    const fs::path list = machine_.sys / "kernel/debug/fail_function/inject";
    for_each_line(read_text(list).value_or(""), [&](std::string_view line) {
      std::istringstream words{std::string(line)};
      std::string function, module;
      words >> function >> module;
      add(function, module.empty() ? module : module.substr(1, module.find(']') - 1),
          "fail_function, which makes it fail", Effect::wins);
    });
  }

  const Machine& machine_;
  const Core* loading_;
  Names functions_;   // of the patch
  Names redirected_;  // by any patch that is loaded
  std::set<std::pair<std::string, std::string>>
      probed_;  // functions, and modules, by way of ftrace
  // Of files that only some functions need: each is read once.
  std::optional<std::string> events_, overridable_, tracers_on_;
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
                        const std::vector<LoadedPatch>& patches, const Core* loading) {
  return Search(machine, objects, patches, loading).all();
}

}  // namespace suture::machine
