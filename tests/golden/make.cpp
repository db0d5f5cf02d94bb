// golden_make - makes ./cache and ./input.txt, of which tests/golden/make packs a golden cache.
#include "tests/golden/tasks.h"

int main(int argc, char** argv) {
  stook::init(argc, argv);
  std::ofstream("input.txt") << "from outside\n";
  {
    const stook::Cache cache("cache");
    if (golden::Root::make().run_graph().value != golden::kRoot) return 1;
    if (golden::AboveCleared::make(0.5).run_graph().value != 6) return 1;
  }
  const stook::Cache cache("cache");  // a second pack
  golden::Cleared::make().clear_task();
  golden::Text::make("made and cleared", 40).run_graph();
  golden::Text::make("made and cleared", 40).clear_task();
  golden::Text::make("later", 50).run_graph();
}
