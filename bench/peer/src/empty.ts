// The floor of a cold start: a server that answers `{}`.

import { serve } from "./server";

serve("/", async () => ({ status: 200, body: {} }));
