// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a function may be run-time code, and have run for nearly all that it is there for.
//
// Method: who registers it tells. A function's addresses between two calls go to the second; some
// are in tables that the kernel walks.
#include "diff/makers.h"

#include <fmt/format.h>

namespace suture::diff {

namespace {

constexpr std::string_view for_processors =
    "is called when a processor comes up or goes: those that are up came without the diff";

class Makers {
 public:
  Makers(const BootGraph& after, std::span<BootFile> files) : after_(after), files_(files) {}

  void run() {
    after_.for_each([&](Node user) {
      const std::string& section = after_.graph(user.file).section_of(after_.piece(user)).name;
      if (after_.is_function(user)) {
        look_at_calls(user);
      } else if (section.starts_with(".x86_cpu_dev")) {  // struct cpu_dev *
        for_each_target(user, [&](const Reference&, Node driver) {
          for_each_target(driver, [&](const Reference&, Node to) { tell(to, for_processors); });
        });
      } else if (after_.piece(user).name == "cpuhp_hp_states") {
        for_each_target(user, [&](const Reference&, Node to) { tell(to, for_processors); });
      }
    });
  }

 private:
  template <class Visit>
  void for_each_target(Node user, Visit visit) {
    for (const Reference& reference : after_.piece(user).references) {
      if (const auto to = after_.target(user.file, reference)) {
        visit(reference, *to);
      }
    }
  }

  void look_at_calls(Node user) {
    std::vector<Node> given;
    for (const Reference& reference : after_.piece(user).references) {
      const auto to = after_.target(user.file, reference);
      if (!reference.is_branch) {
        if (to) {
          given.push_back(*to);
        }
        continue;
      }
      const std::string_view name = diff::name_of(after_.graph(user.file), reference);
      for (Node node : given) {
        if (name.starts_with("register_pernet_")) {
          tell_member(node);
        } else if (name.starts_with("__cpuhp_setup_state")) {
          tell(node, for_processors);
        } else if (name.starts_with("kmem_cache_create")) {
          tell(node, "prepares new objects of a cache: those that are there stay as they are");
        }
      }
      given.clear();
    }
  }

  // struct pernet_operations (include/net/net_namespace.h)
  void tell_member(Node operations) {
    constexpr std::uint64_t init_member = 16;
    for_each_target(operations, [&](const Reference& reference, Node to) {
      if (reference.offset == init_member) {
        tell(to, "makes each network namespace ready: those that exist stay as they are");
      }
    });
  }

  void tell(Node function, std::string_view what) {
    ObjectDiff& diff = files_[function.file].diff;
    const auto slot = static_cast<std::size_t>(function.piece);
    if (after_.is_function(function) && diff.fate[slot] == Fate::changed) {
      diff.add_note(fmt::format("{} {}", after_.name(function), what));
    }
  }

  const BootGraph& after_;
  std::span<BootFile> files_;
};

}  // namespace

void tell_makers(const BootGraph& after, std::span<BootFile> files) { Makers(after, files).run(); }

}  // namespace suture::diff
