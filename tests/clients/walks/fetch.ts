// A login with a mailed code, by openapi-fetch and the types that openapi-typescript has made.
import createClient from "openapi-fetch";
import type { paths } from "./openapi-typescript";
import { code, sure } from "./walk";

async function main(url: string, codes: string, email: string): Promise<void> {
    const api = createClient<paths>({ baseUrl: url });
    const password = "correct horse battery";
    const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });

    const person = { email, username: email, name: "Ada", lastname: "Lovelace", password, is_2fa: true };
    const made = await api.POST("/api/v1/users/registration", { body: person });
    sure(made.response.status === 201, "registered");

    const refused = await api.POST("/api/v1/auth/token", { body: { username: email, password: "wrong" } });
    sure(refused.error !== undefined && refused.error.code === "incorrect_credentials", "refused by its code");

    const asked = (await api.POST("/api/v1/auth/token", { body: { username: email, password } })).data;
    sure(asked !== undefined && asked.otp_required, "a second factor is asked for");
    const temporary: string = asked.temporary_token; // narrowed

    const body = { otp: await code(codes, email), remember_device: false };
    const done = (await api.POST("/api/v1/auth/verify-otp", { body, ...bearer(temporary) })).data;
    sure(done !== undefined && !done.otp_required, "logged in");

    const me = await api.GET("/api/v1/users/me", bearer(done.access_token));
    sure(me.data?.email === email && me.response.headers.get("etag") !== null, "the account is shown");

    const pair = (await api.POST("/api/v1/auth/refresh-token", { body: { refresh_token: done.refresh_token } })).data;
    sure(pair !== undefined, "refreshed");
    const out = await api.POST("/api/v1/auth/logout", bearer(pair.access_token));
    sure(out.response.status === 204, "logged out");
    console.log("logged in and out");
}

const [url = "", codes = "", email = ""] = process.argv.slice(2);
main(url, codes, email).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
});
