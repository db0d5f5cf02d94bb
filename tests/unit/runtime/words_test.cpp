#include "runtime/executors/words.h"

#include <gtest/gtest.h>

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

using Words = std::vector<std::string>;

TEST(PrefixWords, AreSplitByTheDocumentedRules) {
  EXPECT_EQ(split_words(""), Words{});
  EXPECT_EQ(split_words("  \t\n "), Words{});
  EXPECT_EQ(split_words("jbsub -wait  -queue\tx86_1h"),
            (Words{"jbsub", "-wait", "-queue", "x86_1h"}));
  EXPECT_EQ(split_words("a 'b c' \"d e\""), (Words{"a", "b c", "d e"}));
  EXPECT_EQ(split_words(R"(a\ b c\\d '\' "\"" "\\" "\n")"),
            (Words{"a b", "c\\d", "\\", "\"", "\\", "\\n"}));
  EXPECT_EQ(split_words("one'two'\"three\""), Words{"onetwothree"});
  EXPECT_EQ(split_words("'' \"\""), (Words{"", ""}));
  EXPECT_EQ(split_words("'new\nline' ä€"), (Words{"new\nline", "ä€"}));
  EXPECT_EQ(split_words("$HOME `id` ; rm -rf * | ~ & $(x)"),
            (Words{"$HOME", "`id`", ";", "rm", "-rf", "*", "|", "~", "&", "$(x)"}));
}

TEST(PrefixWords, WhatCannotBeSplitIsRefused) {
  for (const std::string& bad :
       {std::string("a 'b"), std::string("a \"b"), std::string("a\\"), std::string("a\0b", 3)}) {
    EXPECT_THROW((void)split_words(bad), InvalidArgument) << bad;
  }
  for (const char* before : {"a", "a \\", "'", "\""}) {
    EXPECT_THROW((void)split_words(std::string(before) + '\0' + "b'\""), InvalidArgument) << before;
  }
}

TEST(PrefixWords, FieldsStayOneWord) {
  const std::map<std::string, std::string> fields{{"task_name", "A B"}, {"task_id", "7"}};
  EXPECT_EQ(fill_fields("{task_name}-{task_id}.log", fields), "A B-7.log");
  EXPECT_EQ(fill_fields("{{.ID}} {unknown} {", fields), "{{.ID}} {unknown} {");
  EXPECT_EQ(fill_fields("{{task_id}}", fields), "{7}");
}

}  // namespace
}  // namespace stook::detail
