// SPDX-License-Identifier: GPL-2.0-or-later
//
// Memory that is allocated in one function and freed in another.
#include "diff/freed_memory.h"

#include <gmock/gmock.h>

#include "support/boot_files.h"

namespace suture::diff {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using FreedMemoryTest = test::BootFiles;

// Memory that is allocated in one function and freed in another.
TEST_F(FreedMemoryTest, WhatWasAllocatedOtherwiseIsFreedByTheWrongFunction) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call vmalloc\n") + code("drop", "call vfree\n"));
  EXPECT_THAT(
      refusals(),
      ElementsAre("layout-changed drop: it frees by vfree() after the diff, and make, which "
                  "allocates memory, does so by vmalloc() instead of __kmalloc(): what it "
                  "has allocated so far would be freed by the wrong function"));
}

TEST_F(FreedMemoryTest, WhatFreesBothKindsFreesWhatThereIs) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call kvmalloc_node\n") + code("drop", "call kvfree\n"));
  file(code("make", "call vmalloc\n") + code("drop", "call vfree\n"),
       code("make", "call kvmalloc_node\n") + code("drop", "call kvfree\n"));
  file(code("make", "call kmem_cache_alloc\n") + code("drop", "call kmem_cache_free\n"),
       code("make", "call kmalloc_trace\n") + code("drop", "call kfree\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(FreedMemoryTest, WhatFreesOneOfTwoKinds) {
  file(code("make", "call kvmalloc_node\n") + code("drop", "call kvfree\n"),
       code("make", "call __kmalloc\n") + code("drop", "call kfree\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("layout-changed drop: it frees by kfree()")));
}

TEST_F(FreedMemoryTest, AFunctionThatAllocatesAndFreesForItself) {
  const std::string before = "call __kmalloc\ncall fill\ncall kfree\n";
  const std::string after = "call vmalloc\ncall fill\ncall vfree\n";
  file(code("one", before) + code("two", "nop\n" + before),
       code("one", after) + code("two", "nop\n" + after));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(FreedMemoryTest, ANewFunctionFreesByTheWrongFunction) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call vmalloc\n") + code("drop", "call drop_one\n") +
           test::function("drop_one", std::string(entry) + "call vfree\nret\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("layout-changed drop_one: it frees by vfree()")));
}

TEST_F(FreedMemoryTest, AFunctionThatFreesSomethingMore) {
  file(code("make", "call __kmalloc\n") + code("drop", "nop\n"),
       code("make", "call vmalloc\n") + code("drop", "call vfree\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(FreedMemoryTest, MemoryOfADeviceIsFreedByHand) {
  file(code("probe", "call devm_kmalloc\n") + code("remove", "nop\n"),
       code("probe", "call kmalloc_trace\n") + code("remove", "call kfree\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("layout-changed remove: it frees by kfree()")));
}

TEST_F(FreedMemoryTest, PagesAreFreedByAnotherOrder) {
  const auto text = [](int order) {
    return code("make", fmt::format("mov ${}, %esi\ncall __get_free_pages\n", order)) +
           code("drop", fmt::format("mov ${}, %esi\ncall free_pages\n", order));
  };
  file(text(3), text(4));
  EXPECT_THAT(refusals(),
              ElementsAre("layout-changed drop: it gives free_pages() the number 4 instead of 3 "
                          "after the diff, and make gives it to __get_free_pages(): what that has "
                          "allocated so far is of the old size"));
}

TEST_F(FreedMemoryTest, FunctionsOfTheFileAllocateAndFree) {
  const auto text = [](int order) {
    return code("make", fmt::format("mov ${}, %esi\ncall alloc_ring\n", order)) +
           code("drop", fmt::format("mov ${}, %esi\ncall free_ring\n", order)) +
           code("alloc_ring", "call __get_free_pages\n") + code("free_ring", "call free_pages\n");
  };
  file(text(3), text(4));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("drop: it gives free_ring() the number 4")));
}

TEST_F(FreedMemoryTest, ANumberThatIsFreedByChangesInAnotherWay) {
  const auto text = [](int order, int other) {
    return code("make", fmt::format("mov ${}, %esi\ncall __get_free_pages\n", order)) +
           code("drop", fmt::format("mov ${}, %esi\ncall free_pages\n", other));
  };
  file(text(3, 5), text(4, 6));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(FreedMemoryTest, WhatNamesNoMemoryIsGivenNoSize) {
  const auto text = [](int number) {
    return code("make", fmt::format("mov ${}, %esi\ncall __get_free_pages\n", number)) +
           code("drop", fmt::format("mov ${}, %esi\ncall kfree_skb_reason\n", number)) +
           code("stop", fmt::format("mov ${}, %esi\ncall freeze_bdev\n", number));
  };
  file(text(3), text(4));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(FreedMemoryTest, WhatFreesSomethingElseThanWhatIsAllocatedNow) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call foo_alloc_ring\n") + code("drop", "call vfree\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(FreedMemoryTest, PagesThatAFunctionAllocatesAndFreesForItself) {
  const auto text = [](int order) {
    const std::string pages = fmt::format(
        "mov ${}, %esi\ncall __get_free_pages\nmov ${}, %esi\ncall free_pages\n", order, order);
    return code("one", pages) + code("two", "nop\n" + pages);
  };
  file(text(3), text(4));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(FreedMemoryTest, ACallbackSeesToWhatIsFreed) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call vmalloc\n") + code("drop", "call vfree\n") + code("again", "nop\n"));
  call_back("again");
  EXPECT_THAT(refusals(), IsEmpty());
}

}  // namespace
}  // namespace suture::diff
