// A login with a mailed code, by the functions that @hey-api/openapi-ts has made.
import { client } from "./hey-api/client.gen";
import { logout, me, refreshToken, registration, token, verifyOtp } from "./hey-api";
import { code, sure } from "./walk";

async function main(url: string, codes: string, email: string): Promise<void> {
    client.setConfig({ baseUrl: url });
    const password = "correct horse battery";

    const person = { email, username: email, name: "Ada", lastname: "Lovelace", password, is_2fa: true };
    sure((await registration({ body: person })).response?.status === 201, "registered");

    const refused = await token({ body: { username: email, password: "wrong" } });
    sure(refused.error?.code === "incorrect_credentials", "refused by its code");

    const asked = (await token({ body: { username: email, password } })).data;
    sure(asked !== undefined && asked.otp_required, "a second factor is asked for");
    const temporary: string = asked.temporary_token; // narrowed

    const done = (await verifyOtp({ body: { otp: await code(codes, email) }, auth: temporary })).data;
    sure(done !== undefined && !done.otp_required, "logged in");

    const account = await me({ auth: done.access_token });
    sure(account.data?.email === email && account.response?.headers.get("etag") !== null, "the account is shown");

    const pair = (await refreshToken({ body: { refresh_token: done.refresh_token } })).data;
    sure(pair !== undefined, "refreshed");
    sure((await logout({ auth: pair.access_token })).response?.status === 204, "logged out");
    console.log("logged in and out");
}

const [url = "", codes = "", email = ""] = process.argv.slice(2);
main(url, codes, email).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
});
