// init.hpp - for programs without cli() that execute tasks in processes of their own.
#pragma once

namespace stook {

// At the top of main(): this program is started again for the tasks it runs in other processes, and
// this is where such a process goes to work instead of doing what main() does. It does not return
// then. cli() does it by itself.
void init(int argc, char** argv);

}  // namespace stook
